"""Pickles of numpy arrays and plain values, compared with what numpy and pickle read."""

import collections
import pickle

import numpy as np
import pytest
from safetensors.numpy import load_file

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
ARRAYS = {
    "bool": np.array([True, False]),
    "i1": np.arange(-3, 3, dtype="i1"),
    "u2": np.arange(5, dtype="u2").reshape(5, 1),
    "i4": np.arange(6, dtype="i4").reshape(2, 3),
    "u8": np.array([0, 2**64 - 1], dtype="u8"),
    "f2": np.linspace(-1, 1, 7, dtype="f2"),
    "f4": np.array([0, -0.0, np.inf, -np.inf, np.nan, 1e-45], dtype="f4"),
    "f8": np.random.default_rng(0).standard_normal((3, 4, 5)),
    "c8": np.array([1 + 2j, -3j], dtype="c8"),
    "fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "big_endian": np.arange(4, dtype=">f4"),
    "big_endian_int": np.arange(4, dtype=">i2"),
    "scalar": np.float64(2.5),
    "zero_d": np.array(7, dtype="i8"),
    "empty": np.zeros((0, 3), dtype="f4"),
    "strided": np.arange(20, dtype="i8")[::3],
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_are_bit_equal(kilter, tmp_path, protocol):
    source, target = tmp_path / "arrays.bin", tmp_path / "arrays.safetensors"
    source.write_bytes(pickle.dumps({"a": ARRAYS, "again": [ARRAYS["f8"]]}, protocol))
    kilter("convert", source, target, status=0)
    read = load_file(target)
    assert set(read) == {f"a.{name}" for name in ARRAYS} | {"again.0"}
    for name, expected in ARRAYS.items():
        expected = np.asarray(expected)
        native = np.ascontiguousarray(expected.astype(expected.dtype.newbyteorder("=")))
        found = read[f"a.{name}"]
        assert found.dtype == native.dtype and found.shape == expected.shape, name
        assert found.tobytes() == native.tobytes(), name


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_of_objects_and_text_open(kilter, tmp_path, protocol):
    source = tmp_path / "objects.pkl"
    inner = np.arange(3, dtype="f4")
    source.write_bytes(pickle.dumps({
        "objects": np.array([None, inner, "text"], dtype=object),
        "text": np.array(["a", "bb"]), "time": np.array(["2020-01-01"], dtype="M8[D]"),
        "fields": np.zeros(2, dtype=[("x", "f4"), ("y", "i4")])}, protocol))
    run = kilter("inspect", "--json", "--tensors", source, status=0)
    assert [t["name"] for t in run.json["tensors"]] == ["objects.1"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_scan_calls_ordinary_arrays_safe(kilter, tmp_path, protocol):
    source = tmp_path / "state.pkl"
    rng = np.random.RandomState(0)
    source.write_bytes(pickle.dumps(
        collections.OrderedDict(arrays=ARRAYS, state=rng.get_state(), rng=rng,
                                generator=np.random.default_rng(1)), protocol))
    kilter("scan", source, status=0)


def test_every_truncation_is_an_error(kilter, tmp_path):
    whole = pickle.dumps({"w": np.arange(3, dtype="f4"), "n": [1, 2.5, None]}, 4)
    paths = []
    for size in range(1, len(whole)):
        path = tmp_path / f"{size}.pkl"
        path.write_bytes(whole[:size])
        paths.append(path)
    run = kilter("scan", "--format", "json", *paths)
    assert run.status != 0
    assert len(run.json["files"]) == len(paths)
    assert all(file["verdict"] != "safe" for file in run.json["files"])
