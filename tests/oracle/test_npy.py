"""Kilter's .npy and .npz against numpy: every version, order, byte order, dtype and compression."""

import zipfile

import ml_dtypes
import numpy as np
import pytest
import torch

from reference import by_kilter, digest

DTYPES = ["?", "i1", "u1", "<i2", ">i2", "<u2", "<i4", ">i4", "<u4", "<i8", ">u8", "<f2", ">f2", "<f4",
          ">f4", "<f8", ">f8", "<c8", ">c8", "<c16", ">c16"]


def random_array(dtype, shape, seed=0):
    raw = np.random.default_rng(seed).integers(0, 2 if dtype == "?" else 256,
                                               int(np.prod(shape)) * np.dtype(dtype).itemsize, np.uint8)
    return raw.view(dtype).reshape(shape)


def expected(array):
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return list(array.shape), digest(np.ascontiguousarray(little).tobytes())


@pytest.mark.parametrize("dtype", DTYPES)
def test_npz_reads_as_numpy_does(kilter, tmp_path, dtype):
    arrays = {
        "c": random_array(dtype, (3, 4, 2)),
        "f": np.asfortranarray(random_array(dtype, (3, 4, 2), 1)),
        "scalar": random_array(dtype, (), 2),
        "empty": random_array(dtype, (0, 3)),
        "dir/long": random_array(dtype, (5000,), 3),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "m.npz", **arrays)
        assert by_kilter(kilter, tmp_path / "m.npz") == {k: expected(v) for k, v in arrays.items()}


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version(kilter, tmp_path, version):
    array = random_array("<f4", (7, 3))
    with open(tmp_path / "a.npy", "wb") as file:
        np.lib.format.write_array(file, array, version=version)
    assert by_kilter(kilter, tmp_path / "a.npy") == {"tensor": expected(array)}


def test_bf16_is_two_opaque_bytes(kilter, tmp_path):
    array = np.arange(6).astype(ml_dtypes.bfloat16)
    np.save(tmp_path / "a.npy", array)
    answer = kilter("inspect", "--json", "--tensors", tmp_path / "a.npy", status=0).json
    assert [t["dtype"] for t in answer["tensors"]] == ["v2"]


def test_objects_are_read_inertly(kilter, tmp_path):
    inner = random_array("<f4", (4, 2))
    value = np.empty((2,), dtype=object)
    value[0], value[1] = {"w": inner, "n": 7}, "text"
    np.savez(tmp_path / "m.npz", o=value, plain=np.arange(3))
    found = by_kilter(kilter, tmp_path / "m.npz")
    assert expected(inner) in found.values() and expected(np.arange(3)) in found.values()


def test_text_and_structures_are_named_not_read(kilter, tmp_path):
    np.savez(tmp_path / "m.npz", t=np.array(["a", "b"]), s=np.zeros(2, [("x", "<f4"), ("y", "<i2")]),
             n=np.arange(2))
    answer = kilter("inspect", "--json", "--tensors", tmp_path / "m.npz", status=0).json
    assert [t["name"] for t in answer["tensors"]] == ["n"]


def test_numpy_reads_what_kilter_writes(kilter, tmp_path):
    state = {"f": torch.randn(3, 4), "i": torch.arange(5), "s": torch.tensor(2.5), "e": torch.zeros(0, 2),
             "t": torch.randn(3, 4).T, "c": torch.randn(2, dtype=torch.complex64), "ü/x": torch.ones(1)}
    torch.save(state, tmp_path / "s.pt")
    kilter("convert", tmp_path / "s.pt", tmp_path / "m.npz", status=0)
    with np.load(tmp_path / "m.npz", allow_pickle=False) as arrays:
        assert set(arrays.files) == set(state)
        for name, tensor in state.items():
            np.testing.assert_array_equal(arrays[name], tensor.numpy())
    assert zipfile.ZipFile(tmp_path / "m.npz").testzip() is None
    kilter("verify", tmp_path / "m.npz", status=0)


def test_what_numpy_lacks_comes_back(kilter, tmp_path):
    state = {"b": torch.randn(3, 2).to(torch.bfloat16), "f8": torch.randn(4).to(torch.float8_e4m3fn)}
    torch.save(state, tmp_path / "s.pt")
    kilter("convert", tmp_path / "s.pt", tmp_path / "m.npz", status=0)
    np.load(tmp_path / "m.npz", allow_pickle=False)["b"]
    kilter("convert", tmp_path / "m.npz", tmp_path / "b.pt", status=0)
    again = torch.load(tmp_path / "b.pt", weights_only=True)
    for name, tensor in state.items():
        assert again[name].dtype == tensor.dtype
        assert torch.equal(again[name].view(torch.uint8), tensor.view(torch.uint8))


def test_a_flipped_bit_is_found_and_named(kilter, tmp_path):
    np.savez(tmp_path / "m.npz", good=np.arange(100), bad=np.full(100, 7))
    content = bytearray((tmp_path / "m.npz").read_bytes())
    content[content.rindex(np.full(3, 7).tobytes())] ^= 1
    (tmp_path / "m.npz").write_bytes(content)
    run = kilter("verify", "--json", tmp_path / "m.npz")
    assert run.status != 0
    assert "bad" in {f.get("tensor") for f in run.json["findings"]}
