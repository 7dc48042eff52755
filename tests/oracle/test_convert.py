"""What convert writes, torch, safetensors and numpy read: the same bits, the same ties, the same state."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from reference import described
from test_real_files import SAFETENSORS, TORCH


@pytest.mark.parametrize("name", TORCH)
def test_torch_to_safetensors_and_back(kilter, real_data, tmp_path, name):
    theirs = torch.load(real_data / name, map_location="cpu", weights_only=True)
    middle, back = tmp_path / "m.safetensors", tmp_path / "back.pt"
    kilter("convert", real_data / name, middle, status=0)
    written = described(load_file(middle))
    assert sorted(written.values()) == sorted(described(theirs).values())
    kilter("convert", middle, back, status=0)
    again = torch.load(back, weights_only=True)
    assert described(again) == described(theirs)
    assert type(again) is type(theirs)


@pytest.mark.parametrize("name", SAFETENSORS)
def test_safetensors_to_torch_and_back(kilter, real_data, tmp_path, name):
    middle, back = tmp_path / "m.pt", tmp_path / "back.safetensors"
    kilter("convert", real_data / name, middle, status=0)
    assert described(torch.load(middle, weights_only=True)) == described(load_file(real_data / name))
    kilter("convert", middle, back, status=0)
    assert described(load_file(back)) == described(load_file(real_data / name))


DTYPES = [torch.bool, torch.uint8, torch.int8, torch.uint16, torch.int16, torch.uint32, torch.int32,
          torch.uint64, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64,
          torch.complex64, torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz,
          torch.float8_e5m2fnuz, torch.float8_e8m0fnu, torch.complex32, torch.complex128]


def random_tensor(dtype, shape=(5, 7), seed=0):
    generator = torch.Generator().manual_seed(seed)
    count = int(np.prod(shape)) * dtype.itemsize
    raw = torch.randint(0, 2 if dtype == torch.bool else 256, (count,), generator=generator, dtype=torch.uint8)
    return raw.view(dtype).reshape(shape)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("legacy", [False, True])
def test_every_dtype_round_trips(kilter, tmp_path, dtype, legacy):
    state = {"a": random_tensor(dtype), "b": random_tensor(dtype, (3, 4, 6), 1).permute(2, 0, 1),
             "scalar": random_tensor(dtype, (), 2), "empty": random_tensor(dtype, (0, 3), 3)}
    source, middle, back = tmp_path / "s.pt", tmp_path / "m.safetensors", tmp_path / "b.pt"
    try:
        torch.save(state, source, _use_new_zipfile_serialization=not legacy)
    except (KeyError, NotImplementedError, RuntimeError):
        pytest.skip("torch itself cannot save this dtype in the legacy layout")
    kilter("convert", source, middle, status=0)
    load_file(middle)
    kilter("convert", middle, back, status=0)
    again = torch.load(back, weights_only=True)
    assert described(again) == described(state)
    assert all(again[k].dtype == dtype for k in state)


def test_ties_and_views_survive_torch_to_torch(kilter, tmp_path):
    base = torch.arange(24, dtype=torch.float32)
    tied = torch.randn(4, 4)
    state = {"embed": tied, "head": tied, "whole": base, "part": base[4:12], "grid": base.view(4, 6).T}
    source, target = tmp_path / "s.pt", tmp_path / "t.pt"
    torch.save(state, source)
    kilter("convert", source, target, status=0)
    again = torch.load(target, weights_only=True)
    assert described(again) == described(state)
    assert again["embed"].data_ptr() == again["head"].data_ptr()
    assert again["whole"].untyped_storage().data_ptr() == again["part"].untyped_storage().data_ptr()
    assert again["grid"].stride() == state["grid"].stride()


def test_ties_come_back_through_safetensors(kilter, tmp_path):
    tied = torch.randn(4, 4)
    torch.save({"embed": tied, "head": tied, "free": tied.clone()}, tmp_path / "s.pt")
    kilter("convert", tmp_path / "s.pt", tmp_path / "m.safetensors", status=0)
    assert set(load_file(tmp_path / "m.safetensors")) == {"embed", "head", "free"}
    kilter("convert", tmp_path / "m.safetensors", tmp_path / "b.pt", status=0)
    again = torch.load(tmp_path / "b.pt", weights_only=True)
    assert again["embed"].data_ptr() == again["head"].data_ptr() != again["free"].data_ptr()


def test_a_slice_does_not_carry_its_whole_storage(kilter, tmp_path):
    torch.save({"row": torch.randn(10_000, 10)[3]}, tmp_path / "s.pt")
    kilter("convert", tmp_path / "s.pt", tmp_path / "t.pt", status=0)
    assert (tmp_path / "t.pt").stat().st_size < 5_000 < (tmp_path / "s.pt").stat().st_size


def test_training_state_goes_beside_and_comes_back(kilter, tmp_path):
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.125)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3,
             "best": float("inf"), "names": ("a", "b"), "big": 1 << 80, "flag": None, "raw": b"\x00\xff"}
    torch.save(state, tmp_path / "s.pt")
    report = kilter("convert", "--json", tmp_path / "s.pt", tmp_path / "m.safetensors", status=0).json
    assert all(t["fate"] == "copied" for t in report["tensors"])
    assert {"epoch", "optimizer.param_groups.0.lr", "big"} <= {v["path"] for v in report["values"]}
    beside = json.loads((tmp_path / "m.state.json").read_text())
    assert beside["root"]["epoch"] == 3
    kilter("convert", tmp_path / "m.safetensors", tmp_path / "b.pt", status=0)
    again = torch.load(tmp_path / "b.pt", weights_only=True)
    assert described(again) == described(state)
    for key in ("epoch", "best", "names", "big", "flag", "raw"):
        assert again[key] == state[key]
    fresh = torch.nn.Linear(3, 2)
    fresh.load_state_dict(again["model"])
    torch.optim.AdamW(fresh.parameters()).load_state_dict(again["optimizer"])


def test_state_dict_container_is_left_out_of_names(kilter, tmp_path):
    torch.save({"state_dict": {"w": torch.ones(2)}, "global_step": 7}, tmp_path / "s.ckpt")
    kilter("convert", tmp_path / "s.ckpt", tmp_path / "m.safetensors", status=0)
    assert set(load_file(tmp_path / "m.safetensors")) == {"w"}
    kilter("convert", tmp_path / "m.safetensors", tmp_path / "b.pt", status=0)
    again = torch.load(tmp_path / "b.pt", weights_only=True)
    assert again["global_step"] == 7 and torch.equal(again["state_dict"]["w"], torch.ones(2))


def test_parts(kilter, tmp_path):
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "s.pt")
    kilter("convert", tmp_path / "s.pt", tmp_path / "w.safetensors", "--part", "weights", status=0)
    assert set(load_file(tmp_path / "w.safetensors")) == {"weight", "bias"}
    kilter("convert", tmp_path / "s.pt", tmp_path / "o.safetensors", "--part", "optimizer", status=0)
    assert all("exp_avg" in k or "step" in k for k in load_file(tmp_path / "o.safetensors"))


def test_only_and_rename(kilter, tmp_path):
    save_file({f"model.{n}.weight": torch.ones(2) for n in range(3)}, tmp_path / "s.safetensors")
    kilter("convert", tmp_path / "s.safetensors", tmp_path / "t.safetensors", "--only", "model.[01].*",
           "--rename", "model.*.weight=block.*.w", status=0)
    assert set(load_file(tmp_path / "t.safetensors")) == {"block.0.w", "block.1.w"}


def test_shards_are_what_the_hub_expects(kilter, tmp_path):
    tensors = {f"layer.{n}.weight": torch.randn(64, 64) for n in range(20)}
    save_file(tensors, tmp_path / "s.safetensors", metadata={"format": "pt"})
    kilter("convert", tmp_path / "s.safetensors", tmp_path / "out", "--max-shard-size", "64KiB", status=0)
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 20 * 64 * 64 * 4
    merged = {}
    for shard in sorted(set(index["weight_map"].values())):
        merged |= load_file(tmp_path / "out" / shard)
    assert described(merged) == described(tensors)
    kilter("verify", tmp_path / "out", status=0)
    kilter("convert", tmp_path / "out", tmp_path / "one.safetensors", status=0)
    assert described(load_file(tmp_path / "one.safetensors")) == described(tensors)


def test_equal_input_gives_the_reference_writers_bytes(kilter, tmp_path):
    tensors = {"b": torch.randn(3, 3), "a": torch.ones(5, dtype=torch.int8), "c": torch.zeros(2, dtype=torch.float16)}
    save_file(tensors, tmp_path / "theirs.safetensors", metadata={"format": "pt"})
    torch.save(tensors, tmp_path / "s.pt")
    kilter("convert", tmp_path / "s.pt", tmp_path / "ours.safetensors", status=0)
    assert (tmp_path / "ours.safetensors").read_bytes() == (tmp_path / "theirs.safetensors").read_bytes()


@pytest.mark.parametrize("target", ["t.safetensors", "t.pt", "t.npz"])
def test_bytes_do_not_depend_on_threads_or_memory(kilter, tmp_path, target):
    state = {f"w.{n}": torch.randn(300, 200 + n) for n in range(40)}
    state["strided"] = torch.randn(700, 900).T
    torch.save(state, tmp_path / "s.pt")
    seen = set()
    for threads, memory in ((1, "64MiB"), (2, "64MiB"), (8, "512MiB"), (3, "4GiB")):
        kilter("convert", tmp_path / "s.pt", tmp_path / target, "--force", "--threads", threads,
               "--max-memory", memory, status=0)
        seen.add((tmp_path / target).read_bytes())
    assert len(seen) == 1


def test_npz_opens_with_numpy(kilter, tmp_path):
    state = {"a": torch.randn(3, 4), "b": torch.arange(5), "c": torch.ones(2, dtype=torch.bool)}
    torch.save(state, tmp_path / "s.pt")
    kilter("convert", tmp_path / "s.pt", tmp_path / "t.npz", status=0)
    with np.load(tmp_path / "t.npz") as loaded:
        assert described(dict(loaded)) == described(state)
    kilter("convert", tmp_path / "t.npz", tmp_path / "b.pt", status=0)
    assert described(torch.load(tmp_path / "b.pt", weights_only=True)) == described(state)


def test_a_file_of_an_unknown_class_converts_and_says_what_it_substituted(kilter, real_data, tmp_path):
    source = real_data / "torch_pickled_class/chemprop_v2_trained_on_cuda.pt"
    report = kilter("convert", "--json", source, tmp_path / "t.pt", status=0).json
    assert any(v["fate"] == "substituted" for v in report["values"])
    torch.load(tmp_path / "t.pt", weights_only=True)
    kilter("convert", source, tmp_path / "m.safetensors", status=0)
    load_file(tmp_path / "m.safetensors")
