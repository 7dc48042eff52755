"""kilter.torch.save and load in place of torch's own."""

import argparse
import collections
import io
import pickle

import numpy as np
import pytest
import torch

import kilter
import kilter.torch


def assert_same(a, b, path="top"):
    assert type(a) is type(b), (path, type(a), type(b))
    if isinstance(a, torch.Tensor):
        assert (a.dtype, a.shape, a.stride(), a.requires_grad) == (
            b.dtype, b.shape, b.stride(), b.requires_grad), path
        assert a.is_conj() == b.is_conj() and a.is_neg() == b.is_neg(), path
        assert torch.equal(a, b), path
    elif isinstance(a, dict):
        assert list(a) == list(b), path
        for key in a:
            assert_same(a[key], b[key], f"{path}.{key}")
        assert_same_attributes(a, b, path)
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b)):
            assert_same(x, y, f"{path}.{i}")
    else:
        assert a == b, path


def assert_same_attributes(a, b, path):
    if hasattr(a, "__dict__"):
        assert_same(vars(a), vars(b), f"{path}.__dict__")


@pytest.fixture
def tree():
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    weight = model[0].weight
    return {
        "model": model.state_dict(), "optimizer": optimizer.state_dict(), "parameter": weight,
        "transposed": weight.detach().t(), "part": torch.arange(10)[2:8:2],
        "bf16": torch.randn(3).bfloat16(), "conj": torch.randn(2, dtype=torch.cfloat).conj(),
        "neg": torch.randn(2, dtype=torch.cfloat).conj().imag, "grad": torch.ones(2, requires_grad=True),
        "fp8": torch.randn(4).to(torch.float8_e4m3fn), "empty": torch.empty(0, 3), "0d": torch.tensor(2),
        "dtype": torch.float16, "device": torch.device("cpu"), "size": torch.Size([2, 3]),
        "nested": [(1, 2.5), {3}, None, True, "text", b"bytes"],
        "ordered": collections.OrderedDict(b=1, a=2),
    }


def fp8_aside(tree):  # torch.equal does not know it
    tree = dict(tree)
    tree["fp8"] = tree["fp8"].view(torch.uint8)
    return tree


def test_what_it_writes_torch_reads(tree):
    kilter.torch.save(tree, "a.pt")
    want = {**fp8_aside(tree), "conj": tree["conj"].resolve_conj(), "neg": tree["neg"].resolve_neg()}
    assert_same(fp8_aside(torch.load("a.pt", weights_only=True)), want)


@pytest.mark.parametrize("mmap", [None, True])
def test_what_torch_writes_it_reads(tree, mmap):
    torch.save(tree, "a.pt")
    want = torch.load("a.pt", weights_only=True)
    assert_same(fp8_aside(kilter.torch.load("a.pt", mmap=mmap)), fp8_aside(want))
    torch.save(tree, "old.pt", _use_new_zipfile_serialization=False)
    assert_same(fp8_aside(kilter.torch.load("old.pt")), fp8_aside(want))


def test_files_in_memory(tree):
    written = io.BytesIO()
    kilter.torch.save(tree, written)
    want = fp8_aside(torch.load(io.BytesIO(written.getvalue()), weights_only=True))
    assert_same(fp8_aside(kilter.torch.load(io.BytesIO(written.getvalue()))), want)


def test_shared_memory_is_shared_on_both_ways():
    base = torch.arange(6.0)
    tree = {"a": base, "b": base, "c": base[2:4], "d": base.view(2, 3).t()}
    kilter.torch.save(tree, "a.pt")
    for got in (torch.load("a.pt", weights_only=True), kilter.torch.load("a.pt")):
        assert got["a"] is got["b"]
        got["a"][2] = -1
        assert got["c"][0] == -1 and got["d"][2, 0] == -1
        assert len({t.untyped_storage().data_ptr() for t in got.values()}) == 1


def test_a_view_of_a_large_tensor_does_not_take_it_along():
    kilter.torch.save({"small": torch.zeros(1 << 20)[:10]}, "a.pt")
    import os
    assert os.path.getsize("a.pt") < 4096


class Harmful:
    def __reduce__(self):
        return (pytest.fail, ("the file was executed",))


class Own:
    pass


@pytest.mark.parametrize("weights_only", [None, True, False])
def test_objects_are_refused_by_name_and_never_run(weights_only):
    for thing, name in ((Own(), "Own"), (Harmful(), "pytest")):
        torch.save({"w": torch.ones(1), "thing": thing}, "a.pt")
        with pytest.raises(kilter.UnsafeError, match=name) as caught:
            kilter.torch.load("a.pt", weights_only=weights_only)
        assert caught.value.path == "a.pt" and "kilter.open" in caught.value.hint
    with pytest.raises(kilter.UnsupportedError, match="Own.*at deep.0"):
        kilter.torch.save({"deep": [Own()]}, "b.pt")


def test_a_whole_module_is_refused_with_advice():
    torch.save(torch.nn.Linear(2, 2), "a.pt")
    with pytest.raises(kilter.UnsafeError, match="torch.nn.modules.linear.Linear"):
        kilter.torch.load("a.pt")
    with pytest.raises(kilter.UnsupportedError, match="state_dict"):
        kilter.torch.save(torch.nn.Linear(2, 2), "b.pt")


def test_harmless_types_are_built():
    tree = {"args": argparse.Namespace(lr=0.1), "count": collections.Counter("aab"),
            "default": collections.defaultdict(list, a=[1]), "array": np.arange(3.0),
            "scalar": np.float32(2.5), "bytes": bytearray(b"x"), "layout": torch.sparse_coo,
            "quantized": torch.quantize_per_tensor(torch.randn(3), 0.1, 0, torch.qint8),
            "sparse": torch.eye(3).to_sparse(), "csr": torch.eye(3).to_sparse_csr()}
    torch.save(tree, "a.pt")
    got = kilter.torch.load("a.pt")
    assert got["args"] == tree["args"] and got["count"] == tree["count"]
    assert got["default"]["new"] == [] and got["default"]["a"] == [1]
    np.testing.assert_array_equal(got["array"], tree["array"])
    assert got["scalar"] == np.float32(2.5) and type(got["scalar"]) is np.float32
    assert got["bytes"] == tree["bytes"] and got["layout"] is torch.sparse_coo
    assert torch.equal(got["quantized"].int_repr(), tree["quantized"].int_repr())
    assert torch.equal(got["sparse"].to_dense(), torch.eye(3))
    assert torch.equal(got["csr"].to_dense(), torch.eye(3))


def test_map_location_takes_what_torch_takes(tree):
    kilter.torch.save({"a": torch.ones(2), "b": torch.ones(3)}, "a.pt")
    asked = []
    got = kilter.torch.load("a.pt", map_location=lambda storage, place: asked.append(place) or storage)
    assert asked == ["cpu", "cpu"] and got["a"].sum() == 2
    for where in ("cpu", torch.device("cpu"), {"cpu": "cpu"}):
        assert kilter.torch.load("a.pt", map_location=where)["b"].sum() == 3
    assert kilter.torch.load("a.pt", map_location="meta")["a"].is_meta


def test_files_from_a_gpu_load_where_there_is_none():
    data = pickle.dumps("cuda:0")
    assert data
    torch.save({"a": torch.ones(2)}, "a.pt")
    raw = open("a.pt", "rb").read()
    # The place of each storage stands in the pickle as text of its own length.
    assert raw.count(b"X\x03\x00\x00\x00cpu") == 1
    import zipfile
    with zipfile.ZipFile("a.pt") as old, zipfile.ZipFile("b.pt", "w") as new:
        for name in old.namelist():
            body = old.read(name)
            new.writestr(name, body.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"))
    if not torch.cuda.is_available():
        with pytest.raises(kilter.ArgumentError, match="map_location"):
            kilter.torch.load("b.pt")
    assert kilter.torch.load("b.pt", map_location="cpu")["a"].sum() == 2


def test_a_pickle_module_is_refused():
    class Own:
        __name__ = "dill"
    kilter.torch.save({"a": torch.ones(1)}, "a.pt", pickle)
    with pytest.raises(kilter.UnsafeError, match="pickle"):
        kilter.torch.load("a.pt", pickle_module=Own())
    with pytest.raises(kilter.UnsafeError, match="pickle"):
        kilter.torch.save({}, "a.pt", pickle_module=Own())
    assert kilter.torch.load("a.pt", encoding="latin1")["a"] == 1
    with pytest.raises(kilter.ArgumentError):
        kilter.torch.load("a.pt", nonsense=1)


def test_a_file_replaced_in_place_does_not_reach_what_was_loaded():
    torch.save({"a": torch.ones(100_000)}, "a.pt")
    got = kilter.torch.load("a.pt")
    torch.save({"a": torch.zeros(10)}, "a.pt")  # writes into the same file
    assert got["a"].sum() == 100_000


def test_safetensors_load_as_a_dictionary():
    kilter.save({"a": torch.ones(2).bfloat16()}, "a.safetensors")
    assert kilter.torch.load("a.safetensors")["a"].dtype == torch.bfloat16
