"""Distributed checkpoints that Kilter wrote, loaded by torch."""

import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import save_file

import ranks


def empty_like(state):
    if isinstance(state, torch.Tensor):
        return torch.zeros_like(state, memory_format=torch.contiguous_format)
    if isinstance(state, dict):
        return {key: empty_like(value) for key, value in state.items()}
    if isinstance(state, list):
        return [empty_like(value) for value in state]
    return None


def test_torch_loads_a_nested_state(kilter, tmp_path):
    state = {"model": ranks.whole_tensors(), **ranks.extra_state()}
    torch.save(state, tmp_path / "state.pt")
    kilter("convert", tmp_path / "state.pt", tmp_path / "dcp", "--to", "dcp", status=0)
    ranks.assert_same(ranks.as_torch_reads(tmp_path / "dcp", tmp_path / "back.pt"), state)
    into = empty_like(state)
    dcp.load(into, checkpoint_id=tmp_path / "dcp", no_dist=True)
    ranks.assert_same(into, state)
    kilter("scan", tmp_path / "dcp", status=0)
    kilter("verify", tmp_path / "dcp", status=0)


def test_torch_loads_safetensors_that_became_distributed(kilter, tmp_path):
    tensors = {"a.weight": ranks.numbers((40, 30), seed=1), "b": ranks.numbers((3,), torch.bfloat16, 2)}
    save_file(tensors, tmp_path / "m.safetensors")
    kilter("convert", tmp_path / "m.safetensors", tmp_path / "out" / "", "--to", "dcp", status=0)
    into = {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}
    dcp.load(into, checkpoint_id=tmp_path / "out", no_dist=True)
    ranks.assert_same(into, tensors)


def test_what_torch_sharded_comes_back_whole(kilter, sharded, tmp_path):
    kilter("convert", sharded[4], tmp_path / "one", "--to", "dcp", status=0)
    ranks.assert_same(ranks.as_torch_reads(tmp_path / "one", tmp_path / "a.pt"),
                      ranks.as_torch_reads(sharded[4], tmp_path / "b.pt"))


def test_the_same_input_gives_the_same_bytes(kilter, sharded, tmp_path):
    for name, threads in (("a", "1"), ("b", "2")):
        kilter("convert", sharded[2], tmp_path / name, "--to", "dcp", "--threads", threads, status=0)
    for file in ("__0_0.distcp", ".metadata"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
