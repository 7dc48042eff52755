"""kilter.dcp against torch's own planners: FSDP2 and DTensor on gloo, saved on 4 ranks, loaded on 1, 2, 3."""

import os
import subprocess
import sys
from pathlib import Path

import kilter
import kilter.dcp
import kilter.torch
import pytest
import torch
import torch.distributed.checkpoint as dcp
from dcp_rank import build
from safetensors.torch import load_file

SCRIPT = Path(__file__).with_name("dcp_rank.py")


def run(folder, *scenarios, status=0):
    done = subprocess.run([sys.executable, SCRIPT, folder, *scenarios], capture_output=True, text=True, timeout=300,
                          check=False, env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"})
    assert done.returncode == status, done.stderr


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dcp")
    run(folder, "save:4")
    return folder


def test_four_ranks_make_one_commit_a_step(saved):
    store = kilter.Store(saved / "runs.kilter")
    log = store.log()
    assert [commit.metadata["step"] for commit in log] == [3, 2]
    assert log[1].metadata["loss"] == 0.5
    files = [file.path for file in store.files("step:2")]
    assert files[0] == "kilter-dcp.json"
    assert files[1:] == [f"rank-0000{rank}.safetensors" for rank in range(4)]
    assert store.check(data=True).sound


def test_one_two_or_three_ranks_load_it(saved):
    run(saved, "load:1", "load:2", "load:3")


def test_shards_copies_and_odd_tensors(tmp_path):
    for ranks in (2, 4):
        (tmp_path / str(ranks)).mkdir()
    run(tmp_path, "layouts:2", "layouts:4")
    for ranks in (2, 4):
        # Four copies of a MiB: written once each, by different ranks.
        store = kilter.Store(tmp_path / str(ranks) / "layouts.kilter")
        sizes = [file.bytes for file in store.files("step:1")][1:]
        assert sum(sizes) < 4.3 * (1 << 20)
        assert max(sizes) < (0.8 if ranks == 2 else 0.5) * sum(sizes)
        # Joined by whoever is no rank.
        found = kilter.torch.load(tmp_path / str(ranks) / "layouts.kilter@main")
        full = torch.arange(37 * 16, dtype=torch.float32).reshape(37, 16)
        wanted = {"rows": full, "columns": full, "mixed": full, "plain": full[:, ::2].t(), "half": full.bfloat16(),
                  "empty": torch.zeros(0, 3), "scalar": torch.tensor(2.5), "complex": torch.complex(full, -full).conj()}
        wanted.update({f"copy{i}": torch.arange(1 << 18, dtype=torch.float32) + i for i in range(4)})
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())


def test_everybody_else_sees_whole_tensors(saved, program):
    """What ranks saved is an ordinary checkpoint: to open, convert, load into a model, reshard."""
    address = f"{saved / 'runs.kilter'}@step:2"
    full = torch.load(saved / "full.pt")[2]
    opened = kilter.open(address)
    state = opened.state
    assert state["step"] == 3
    for name, tensor in full["model"].items():
        assert torch.equal(kilter.torch.load(address)["model"][name], tensor)
        assert torch.equal(opened[f"model.{name}"].torch(), tensor)
    moments = full["optimizer"]
    for name, value in moments.items():
        found = kilter.torch.load(address)["optimizer"][name]
        assert torch.equal(found, value) if isinstance(value, torch.Tensor) else found == value, name
    model, _ = build(shard=False)
    kilter.torch.load_into(model, address)
    assert all(torch.equal(have, full["model"][name]) for name, have in model.state_dict().items())

    out = saved / "whole.safetensors"
    kilter.convert(address, out)
    whole = load_file(out)
    assert all(torch.equal(whole[f"model.{name}"], tensor) for name, tensor in full["model"].items())
    program("convert", address, saved / "torch-folder", "--to", "dcp", status=0)
    fresh = {"model": {name: torch.zeros_like(tensor) for name, tensor in full["model"].items()}}
    dcp.load(fresh, checkpoint_id=saved / "torch-folder", no_dist=True)
    assert all(torch.equal(fresh["model"][name], tensor) for name, tensor in full["model"].items())
    shown = program("inspect", address, "--tensors", status=0).out
    assert "step saved by several ranks" in shown and "model.0.weight" in shown
    assert "@" not in shown.replace(address, "")  # pieces are called "NAME@OFFSETS"


def test_a_dead_rank_leaves_the_step_before(saved):
    run(saved, "dies:2", status=1)
    store = kilter.Store(saved / "runs.kilter")
    assert store.find("main").metadata["step"] == 3
    assert store.check(data=True).sound
    store.collect()  # what the dead left behind goes
    run(saved, "load:1")


def test_objects_that_would_run_something_are_refused(tmp_path):
    class Bad:
        def __reduce__(self):
            return os.system, ("echo harm",)

    store = str(tmp_path / "bad.kilter")
    state = {"w": torch.ones(2), "bad": Bad()}
    dcp.save(state, storage_writer=kilter.dcp.StorageWriter(store, step=1), no_dist=True)
    fresh = {"w": torch.zeros(2), "bad": 0}
    with pytest.raises(dcp.api.CheckpointException, match="torch would run it"):
        dcp.load(fresh, storage_reader=kilter.dcp.StorageReader(store), no_dist=True)


def test_a_step_must_be_named(tmp_path):
    with pytest.raises(dcp.api.CheckpointException, match="no step is named"):
        dcp.save({"w": torch.ones(2)}, no_dist=True,
                 storage_writer=kilter.dcp.StorageWriter(tmp_path / "a.kilter"))
