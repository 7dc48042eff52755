"""Straight into a model."""

import numpy as np
import pytest
import safetensors.torch
import torch

import kilter
import kilter.torch


def network(width=8, seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(4, width), torch.nn.BatchNorm1d(width),
                               torch.nn.Linear(width, 2))


def assert_equal(a, b):
    for name, value in a.state_dict().items():
        assert torch.equal(value, b.state_dict()[name]), name


@pytest.mark.parametrize("write", [
    lambda m: safetensors.torch.save_file(m.state_dict(), "c.safetensors") or "c.safetensors",
    lambda m: torch.save(m.state_dict(), "c.pt") or "c.pt",
    lambda m: torch.save({"model": m.state_dict(), "epoch": 3,
                          "optimizer": {"x": torch.ones(3)}}, "c.pt") or "c.pt",
    lambda m: kilter.save(m.state_dict(), "c.npz") or "c.npz",
    lambda m: (kilter.save(m.state_dict(), "c.safetensors"),
               kilter.Store("s.kilter").save("c.safetensors"), "s.kilter@main")[2],
], ids=["safetensors", "torch", "nested", "npz", "store"])
def test_every_format_goes_into_the_parameters_own_memory(write):
    model, target = network(seed=1), network(seed=2)
    address = write(model)
    memory = {name: value.data_ptr() for name, value in target.state_dict().items()}
    keys = kilter.torch.load_into(target, address)
    assert not keys.missing_keys and not keys.unexpected_keys
    assert_equal(model, target)
    assert memory == {name: value.data_ptr() for name, value in target.state_dict().items()}


def test_every_mismatch_is_in_one_error_and_nothing_changes():
    torch.save({**network(8).state_dict(), "extra": torch.ones(1)}, "a.pt")
    target = torch.nn.Sequential(torch.nn.Linear(4, 9), torch.nn.BatchNorm1d(8).double(),
                                 torch.nn.Linear(8, 2), torch.nn.Linear(1, 1, bias=False))
    before = {name: value.clone() for name, value in target.state_dict().items()}
    with pytest.raises(kilter.MismatchError) as caught:
        kilter.torch.load_into(target, "a.pt")
    error = caught.value
    assert error.missing == ("3.weight",) and error.unexpected == ("extra",)
    assert "0.weight: the file has f32 [8, 4], the model f32 [9, 4]" in error.different
    assert "1.running_var: the file has f32 [8], the model f64 [8]" in error.different
    assert isinstance(error, RuntimeError)  # as load_state_dict() raises
    for name, value in target.state_dict().items():
        assert torch.equal(value, before[name])


def test_without_strict_what_fits_is_loaded():
    model = network(seed=1)
    state = model.state_dict()
    del state["2.bias"]
    torch.save({**state, "more": torch.ones(1)}, "a.pt")
    target = network(seed=2)
    keys = kilter.torch.load_into(target, "a.pt", strict=False)
    assert keys == (["2.bias"], ["more"])
    assert torch.equal(target[0].weight, model[0].weight)


def test_tied_names_need_to_be_in_the_file_once():
    class Tied(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = torch.nn.Embedding(5, 3)
            self.head = torch.nn.Linear(3, 5, bias=False)
            self.head.weight = self.embed.weight

    model, target = Tied(), Tied()
    safetensors.torch.save_file({"embed.weight": model.embed.weight.detach()}, "a.safetensors")
    kilter.torch.load_into(target, "a.safetensors")
    assert torch.equal(target.head.weight, model.embed.weight)


def test_strided_and_empty_targets_work_and_autograd_is_told():
    kilter.save({"w": np.arange(6.0).reshape(2, 3), "e": np.ones((0, 2))}, "a.safetensors")
    turned = torch.zeros(3, 2, dtype=torch.float64).t()
    version = turned._version
    kilter.torch.load_into({"w": turned, "e": torch.ones(0, 2, dtype=torch.float64)}, "a.safetensors")
    assert turned.tolist() == [[0, 1, 2], [3, 4, 5]] and turned._version > version


def test_memory_that_is_not_there_is_told():
    torch.save(network().state_dict(), "a.pt")
    with torch.device("meta"):
        target = network()
    with pytest.raises(kilter.MismatchError, match="to_empty"):
        kilter.torch.load_into(target, "a.pt")


def test_a_changed_byte_is_found():
    torch.save({"w": torch.arange(100_000.0)}, "a.pt")
    data = bytearray(open("a.pt", "rb").read())
    data[200_000] ^= 1
    open("a.pt", "wb").write(data)
    target = {"w": torch.zeros(100_000)}
    with pytest.raises(kilter.CorruptError) as caught:
        kilter.torch.load_into(target, "a.pt")
    assert caught.value.tensor == "w"
    kilter.torch.load_into(target, "a.pt", verify=False)


def test_large_tensors_come_in_pieces_from_a_cold_disk():
    import os
    torch.manual_seed(1)
    tensors = {f"t{i}": torch.randn(count) for i, count in
               enumerate([3_000_001, 7, 1_048_576, 1, 2_500_000])}
    torch.save(tensors, "a.pt")
    safetensors.torch.save_file(tensors, "a.safetensors")
    for name in ("a.pt", "a.safetensors"):
        with open(name, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        target = {key: torch.zeros_like(value) for key, value in tensors.items()}
        seen = []
        kilter.torch.load_into(target, name, progress=lambda *news: seen.append(news))
        for key, value in tensors.items():
            assert torch.equal(target[key], value), (name, key)
        assert seen[-1][0] == "load" and seen[-1][1] == seen[-1][2] == sum(
            value.nbytes for value in tensors.values())
