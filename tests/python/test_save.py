"""Saving: the official libraries read what Kilter writes, and a file is whole or not there."""

import os

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

import kilter


def test_safetensors_reads_it():
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array(3, np.int64),
              "c": np.ones((2, 0), np.uint8), "d": np.array([1.5, 2], ml_dtypes.bfloat16)}
    kilter.save(arrays, "a.safetensors", metadata={"k": "v"})
    got = safetensors.numpy.load_file("a.safetensors")
    for name in "abc":
        np.testing.assert_array_equal(got[name], arrays[name])
        assert got[name].dtype == arrays[name].dtype
    assert safetensors.torch.load_file("a.safetensors")["d"].tolist() == [1.5, 2]
    assert safetensors.safe_open("a.safetensors", "np").metadata()["k"] == "v"
    assert os.listdir(".") == ["a.safetensors"]


def test_numpy_reads_it():
    kilter.save({"a": np.eye(3), "b": torch.arange(3)}, "a.npz")
    with np.load("a.npz", allow_pickle=False) as got:
        np.testing.assert_array_equal(got["a"], np.eye(3))
        np.testing.assert_array_equal(got["b"], np.arange(3))


def test_torch_reads_a_tree_of_everything():
    tree = {"model": torch.nn.Linear(3, 2).state_dict(), "step": 3, "lr": 1e-3, "betas": (0.9, 0.99),
            "names": ["a", "b"], "none": None, "flag": True, "big": 1 << 80, "z": 2j, "raw": b"\0\xff",
            "set": {1, 2}, "shape": torch.Size([2, 3]), "dtype": torch.bfloat16,
            "device": torch.device("cpu"), "scalar": np.float64(2.5), "array": np.arange(3)}
    kilter.save(tree, "a.pt")
    got = torch.load("a.pt", weights_only=True)
    assert list(got) == list(tree)
    for key in ("step", "lr", "betas", "names", "none", "flag", "big", "z", "raw", "set", "shape",
                "dtype", "device", "scalar"):
        assert got[key] == tree[key] and type(got[key]) is (float if key == "scalar" else
                                                            type(tree[key])), key
    assert got["array"].tolist() == [0, 1, 2]
    for name, value in tree["model"].items():
        assert torch.equal(got["model"][name], value)
    assert got["model"]._metadata == tree["model"]._metadata


def test_what_is_no_tensor_comes_back_beside_safetensors():
    tree = {"model": {"w": np.ones(2)}, "step": 7, "betas": (0.9, 0.99)}
    kilter.save(tree, "a.safetensors")
    assert sorted(os.listdir(".")) == ["a.safetensors", "a.state.json"]
    got = kilter.load("a.safetensors")
    assert got["step"] == 7 and got["betas"] == (0.9, 0.99)
    np.testing.assert_array_equal(got["model"]["w"], np.ones(2))


def test_strided_arrays_and_tensors_keep_their_values():
    base = np.arange(24).reshape(4, 6)
    kilter.save({"a": base[::2, ::-1], "b": base.T, "c": torch.arange(24).reshape(4, 6).t(),
                 "d": base.astype(">i4")}, "a.safetensors")
    got = safetensors.numpy.load_file("a.safetensors")
    np.testing.assert_array_equal(got["a"], base[::2, ::-1])
    np.testing.assert_array_equal(got["b"], base.T)
    np.testing.assert_array_equal(got["c"], base.T)
    np.testing.assert_array_equal(got["d"], base)


def test_tensors_of_an_open_checkpoint_can_be_saved_again():
    kilter.save({"a": np.arange(3.0), "b": np.ones(2, ml_dtypes.bfloat16)}, "a.safetensors")
    kilter.save(dict(kilter.open("a.safetensors")), "b.safetensors")
    assert open("a.safetensors", "rb").read() == open("b.safetensors", "rb").read()


def test_shards_have_an_index():
    kilter.save({str(i): np.ones(1000) for i in range(5)}, "out", format="safetensors",
                shard_bytes_max=17_000)
    assert "model.safetensors.index.json" in os.listdir("out")
    assert len([n for n in os.listdir("out") if n.endswith(".safetensors")]) == 3
    assert len(kilter.open("out")) == 5


@pytest.mark.parametrize("value, what", [(object(), "builtins.object"), (lambda: 0, "function"),
                                         (np.array(["a"]), "<U1"), ([{"x": open}], "x")])
def test_what_cannot_be_saved_is_refused_by_its_place(value, what):
    with pytest.raises(kilter.UnsupportedError, match=what) as caught:
        kilter.save({"deep": [value]}, "a.pt")
    assert "deep.0" in str(caught.value)
    assert os.listdir(".") == []


def test_a_failed_save_leaves_the_old_file_whole():
    kilter.save({"a": np.ones(3)}, "a.pt")
    with pytest.raises(kilter.KilterError):
        kilter.save({"a": np.ones(3)}, "missing/folder/a.pt")
    with pytest.raises(kilter.UnsupportedError):
        kilter.save({"a": object()}, "a.pt")
    assert torch.load("a.pt", weights_only=True)["a"].sum() == 3
    assert os.listdir(".") == ["a.pt"]


def test_lists_that_contain_themselves_are_saved_and_tuples_refused():
    ring = [1]
    ring.append(ring)
    kilter.save({"ring": ring}, "a.pt")
    got = kilter.load("a.pt")["ring"]
    assert got[1] is got
    knot = []
    knot.append((knot, {"t": torch.ones(1)}))
    kilter.save({"knot": knot}, "b.pt")
    deep = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(kilter.LimitError):
        kilter.save({"deep": deep}, "c.pt")
