"""Kilter's safetensors against the reference: the same files accepted, the same bytes written."""

import json
import random
import struct

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from reference import by_kilter, described

DTYPES = [torch.bool, torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.uint32,
          torch.int64, torch.uint64, torch.float16, torch.bfloat16, torch.float32, torch.float64,
          torch.complex64, torch.float8_e4m3fn, torch.float8_e5m2]


def random_tensors(seed, count=12):
    rng = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    out = {}
    for number in range(count):
        dtype = rng.choice(DTYPES)
        shape = [rng.randrange(0, 5) for _ in range(rng.randrange(0, 4))]
        size = torch.Size(shape).numel() * dtype.itemsize
        raw = torch.randint(0, 2 if dtype == torch.bool else 256, (size,), generator=generator,
                            dtype=torch.uint8)
        name = rng.choice(["a", "B", "ü", "x/y", 'q"', "l\n", "layer.0.w"]) + str(number)
        out[name] = raw.view(dtype).reshape(shape)
    return out


@pytest.mark.parametrize("seed", range(8))
def test_written_bytes_are_the_reference_s(kilter, tmp_path, seed):
    source, theirs, ours = (tmp_path / n for n in ("s.pt", "theirs.safetensors", "ours.safetensors"))
    tensors = random_tensors(seed)
    torch.save(tensors, source)
    save_file(tensors, theirs, metadata={"format": "pt"})
    kilter("convert", source, ours, status=0)
    assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize("seed", range(4))
def test_every_tensor_reads_the_same(kilter, tmp_path, seed):
    tensors = random_tensors(seed, 40)
    save_file(tensors, tmp_path / "m.safetensors")
    assert by_kilter(kilter, tmp_path / "m.safetensors") == described(load_file(tmp_path / "m.safetensors"))


def write(path, header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def entry(dtype="U8", shape=(1,), offsets=(0, 1)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


# (header, data bytes); the reference decides which are good.
CASES = {
    "empty": ({}, 0),
    "leading space": (b'   {"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1),
    "trailing space": (b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}  \n', 1),
    "trailing text": (b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}} x', 1),
    "scalar": ({"a": entry("F32", (), (0, 4))}, 4),
    "zero size": ({"a": entry("F32", (0, 5), (0, 0))}, 0),
    "hole at the start": ({"a": entry(offsets=(1, 2))}, 2),
    "hole": ({"a": entry(), "b": entry(offsets=(2, 3))}, 3),
    "overlap": ({"a": entry(shape=(2,), offsets=(0, 2)), "b": entry(shape=(2,), offsets=(1, 3))}, 3),
    "tail": ({"a": entry()}, 2),
    "cut": ({"a": entry(shape=(4,), offsets=(0, 4))}, 3),
    "size": ({"a": entry(shape=(3,), offsets=(0, 2))}, 2),
    "backwards": ({"a": entry(offsets=(1, 0))}, 1),
    "overflow": ({"a": entry(shape=(1 << 32, 1 << 32), offsets=(0, 0))}, 0),
    "unknown dtype": ({"a": entry("F7")}, 1),
    "metadata": ({"__metadata__": {"k": "v"}, "a": entry()}, 1),
    "metadata null": ({"__metadata__": None, "a": entry()}, 1),
    "metadata number": ({"__metadata__": {"k": 1}, "a": entry()}, 1),
    "no shape": ({"a": {"dtype": "U8", "data_offsets": [0, 1]}}, 1),
    "float shape": ({"a": {"dtype": "U8", "shape": [1.0], "data_offsets": [0, 1]}}, 1),
    "negative shape": ({"a": {"dtype": "U8", "shape": [-1], "data_offsets": [0, 1]}}, 1),
    "three offsets": ({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1, 2]}}, 1),
    "more members": ({"a": {**entry(), "more": 1}}, 1),
    "list": (b"[]", 0),
    "not JSON": (b"{,}", 0),
    "bad UTF-8": (b'{"\xff":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1),
}


@pytest.mark.parametrize("name", CASES)
def test_accepts_and_refuses_as_the_reference_does(kilter, tmp_path, name):
    path = tmp_path / "m.safetensors"
    header, data_bytes = CASES[name]
    write(path, header, bytes(data_bytes))
    try:
        with safe_open(path, "pt") as file:
            list(file.keys())
        good = True
    except (SafetensorError, UnicodeDecodeError):
        good = False
    run = kilter("verify", path)
    assert (run.status == 0) == good, run


def test_a_repeated_key_is_named(kilter, tmp_path):
    one = b'"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'
    write(tmp_path / "m.safetensors", b"{" + one + b"," + one + b"}", b"x")
    run = kilter("verify", "--json", tmp_path / "m.safetensors")
    assert run.status != 0
    rules = {(f["rule"], f.get("tensor")) for f in run.json["findings"]}
    assert ("safetensors.duplicate-key", "w") in rules


def test_foreign_dtypes_come_back_from_the_state_file(kilter, tmp_path):
    state = {"c": torch.randn(3, 2, dtype=torch.complex128)}
    torch.save(state, tmp_path / "s.pt")
    kilter("convert", tmp_path / "s.pt", tmp_path / "m.safetensors", status=0)
    kilter("convert", tmp_path / "m.safetensors", tmp_path / "b.pt", status=0)
    assert torch.equal(torch.load(tmp_path / "b.pt", weights_only=True)["c"], state["c"])
