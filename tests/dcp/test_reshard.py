"""kilter reshard: cut for other ranks, loaded by torch on each of them."""

import json

import pytest
import torch
import torch.distributed.checkpoint as dcp
from safetensors import safe_open
from safetensors.torch import save_file
from torch.distributed.checkpoint import HuggingFaceStorageReader
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

import ranks


def load_sharded(rank, count, folder, dims, reader=None):
    """Every rank loads its shards along the given dimensions and compares them with the whole."""
    mesh = init_device_mesh("cpu", (count,))
    whole = ranks.whole_tensors()
    state = {name: distribute_tensor(torch.zeros_like(tensor), mesh, [Shard(dims.get(name, 0))],
                                     src_data_rank=None) for name, tensor in whole.items()}
    want = {name: distribute_tensor(tensor, mesh, [Shard(dims.get(name, 0))], src_data_rank=None)
            for name, tensor in whole.items()}
    if reader is None:
        into = {"model": state, "step": 0}
        dcp.load(into, checkpoint_id=folder)
        assert into["step"] == 1200
    else:
        dcp.load({f"model.{name}": tensor for name, tensor in state.items()},
                 storage_reader=reader(folder))
    for name, tensor in want.items():
        ranks.assert_same(state[name].to_local(), tensor.to_local(), name)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_four_ranks_become_fewer(kilter, sharded, tmp_path, count):
    kilter("reshard", sharded[4], tmp_path / "out", "--ranks", count, status=0)
    assert len(list((tmp_path / "out").glob("*.distcp"))) == count
    ranks.run_ranks(count, load_sharded, tmp_path / "out", {})
    ranks.assert_same(ranks.as_torch_reads(tmp_path / "out", tmp_path / "a.pt"),
                      ranks.as_torch_reads(sharded[4], tmp_path / "b.pt"))


def test_a_plan_cuts_by_glob(kilter, sharded, tmp_path):
    plan = tmp_path / "plan.yaml"
    plan.write_text("# tensor parallel\n'model.dtype.?': 1\nmodel.shape.2: -1   # the last\n"
                    "model.shape.[01]: whole\n\"*\": 0\n")
    run = kilter("reshard", "--json", sharded[1], tmp_path / "out", "--ranks", 3, "--plan", plan,
                 status=0).json
    rows = {row["name"]: row for row in run["tensors"]}
    assert rows["model.dtype.3"]["dim"] == 1 and rows["model.dtype.3"]["pieces"] == 3
    assert rows["model.shape.2"]["dim"] == 2
    assert "dim" not in rows["model.shape.0"] and rows["model.shape.4"]["dim"] == 0
    dims = {name: 1 for name in ranks.whole_tensors() if name.startswith("dtype")}
    ranks.run_ranks(3, load_sharded, tmp_path / "out", {**dims, "shape.2": 2})
    kilter("verify", tmp_path / "out", status=0)
    as_json = tmp_path / "plan.json"
    as_json.write_text(json.dumps({"model.dtype.?": 1, "model.shape.2": -1,
                                   "model.shape.[01]": None, "*": 0}))
    kilter("reshard", sharded[4], tmp_path / "same", "--ranks", 3, "--plan", as_json, status=0)
    kilter("convert", tmp_path / "out", tmp_path / "a.safetensors", status=0)
    kilter("convert", tmp_path / "same", tmp_path / "b.safetensors", status=0)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_files_of_ranks_are_what_torch_chunk_gives(kilter, tmp_path):
    tensors = {"w": ranks.numbers((10, 4)), "b": ranks.numbers((3,), seed=1)}
    save_file(tensors, tmp_path / "m.safetensors")
    kilter("reshard", tmp_path / "m.safetensors", tmp_path / "out", "--ranks", 4, "--to",
           "safetensors", status=0)
    for rank in range(4):
        name = f"shard-{rank + 1:05}-model-00001-of-00001.safetensors"
        with safe_open(tmp_path / "out" / name, "pt") as file:
            assert json.loads(file.metadata()["DCP_SHARDING_INFO"])["w"] == {
                "saved_offsets": [3 * rank, 0]}
            ranks.assert_same(file.get_tensor("w"), tensors["w"].chunk(4)[rank])
    kilter("convert", tmp_path / "out", tmp_path / "back.safetensors", status=0)
    with safe_open(tmp_path / "back.safetensors", "pt") as file:
        for name, tensor in tensors.items():
            ranks.assert_same(file.get_tensor(name), tensor)


def test_torch_loads_sharded_safetensors(kilter, sharded, tmp_path):
    kilter("reshard", sharded[4], tmp_path / "out", "--ranks", 3, "--to", "safetensors", status=0)
    ranks.run_ranks(2, load_sharded, tmp_path / "out", {}, HuggingFaceStorageReader)


def test_a_dry_run_says_it_all_and_writes_nothing(kilter, sharded, tmp_path):
    run = kilter("reshard", "--json", "--dry-run", sharded[4], tmp_path / "out", "--ranks", 2,
                 status=0).json
    assert run["dry_run"] and not (tmp_path / "out").exists()
    kilter("reshard", sharded[4], tmp_path / "out", "--ranks", 2, status=0)
    for row in run["files"]:
        assert (tmp_path / "out" / row["name"]).stat().st_size == row["bytes"]
    assert len(run["rank_bytes"]) == 2


def test_plans_that_do_not_fit_are_refused(kilter, sharded, tmp_path):
    def refused(text, status):
        (tmp_path / "plan").write_text(text)
        return kilter("reshard", sharded[2], tmp_path / "out", "--ranks", 2, "--plan",
                      tmp_path / "plan", status=status).err

    assert "no tensor" in refused("nothing.like.this: 0\n", 2)
    assert "not there" in refused("model.shape.0: 1\n", 2)
    assert "line 2" in refused("model.*: 0\nwhat is this\n", 3)
    assert "no rule" in refused("# only a comment\n", 3)
    assert "is no rule" in refused('{"a": [1]}', 3)
    assert not (tmp_path / "out").exists()
    kilter("reshard", sharded[2], tmp_path / "out", status=2)
    kilter("reshard", sharded[2], tmp_path / "out", "--ranks", 70000, status=2)


def test_memory_stays_within_the_budget(kilter, tmp_path):
    tensors = {f"w.{i}": torch.zeros(4096, 4096) for i in range(3)}  # 64 MiB each
    for i, tensor in enumerate(tensors.values()):
        tensor[:, i] = i + 1
    save_file(tensors, tmp_path / "m.safetensors")
    (tmp_path / "plan").write_text("w.1: 1\n'*': 0\n")
    run = kilter("reshard", tmp_path / "m.safetensors", tmp_path / "out", "--ranks", 3, "--plan",
                 tmp_path / "plan", "--max-memory", "32MiB", status=0,
                 prefix=("/usr/bin/env", "bash", "-c", 'ulimit -v 700000; exec "$@"', "--"))
    assert run.status == 0
    kilter("convert", tmp_path / "out", tmp_path / "back.safetensors", status=0)
    with safe_open(tmp_path / "back.safetensors", "pt") as file:
        for name, tensor in tensors.items():
            assert torch.equal(file.get_tensor(name), tensor), name
