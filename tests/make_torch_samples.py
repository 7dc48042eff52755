#!/usr/bin/env python3
"""Writes checkpoints of every kind torch can save, and what is in them.

Usage: make_torch_samples.py FOLDER

For each sample FOLDER/NAME.EXT there is FOLDER/NAME.json:
  {"file", "tensors": [{"name", "dtype", "shape", "sha256", "parameter", "requires_grad"}]}
`sha256` is of the contiguous little-endian bytes that torch itself gives for the tensor; names are
the ones Kilter derives from the path to the tensor. Needs torch. Equal runs write equal tensors.
"""

import argparse
import collections
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

DTYPE_NAMES = {
    torch.bool: "bool", torch.uint8: "u8", torch.int8: "i8", torch.uint16: "u16",
    torch.int16: "i16", torch.uint32: "u32", torch.int32: "i32", torch.uint64: "u64",
    torch.int64: "i64", torch.float16: "f16", torch.bfloat16: "bf16", torch.float32: "f32",
    torch.float64: "f64", torch.complex32: "c32", torch.complex64: "c64",
    torch.complex128: "c128", torch.float8_e4m3fn: "f8_e4m3fn", torch.float8_e5m2: "f8_e5m2",
    torch.float8_e4m3fnuz: "f8_e4m3fnuz", torch.float8_e5m2fnuz: "f8_e5m2fnuz",
    torch.float8_e8m0fnu: "f8_e8m0fnu", torch.qint8: "qi8", torch.quint8: "qu8",
    torch.qint32: "qi32",
}


def raw_bytes(tensor):
    """The tensor's elements, contiguous, conjugate and negative bits applied."""
    tensor = tensor.detach()
    if tensor.is_quantized:
        tensor = tensor.int_repr()
    tensor = tensor.resolve_conj().resolve_neg().contiguous()
    if tensor.numel() == 0:
        return b""
    flat = tensor.reshape(-1).view(torch.uint8) if tensor.dtype != torch.bool else tensor.reshape(-1)
    return flat.numpy().tobytes()


def row(name, tensor, dtype=None, shape=None):
    return {
        "name": name,
        "dtype": dtype or DTYPE_NAMES[tensor.dtype],
        "shape": list(tensor.shape) if shape is None else shape,
        "sha256": hashlib.sha256(raw_bytes(tensor)).hexdigest(),
        "parameter": isinstance(tensor, nn.Parameter),
        "requires_grad": bool(tensor.requires_grad),
    }


def rows_of(value, path=()):
    """Tensors in dictionaries, lists and tuples, by their paths."""
    if isinstance(value, torch.Tensor):
        return [row(".".join(path) or "tensor", value)]
    if isinstance(value, dict):
        return [r for k, v in value.items() for r in rows_of(v, path + (str(k),))]
    if isinstance(value, (list, tuple)):
        return [r for i, v in enumerate(value) for r in rows_of(v, path + (str(i),))]
    return []


class Samples:
    def __init__(self, folder):
        self.folder = folder

    def save(self, name, value, tensors=None, ext="pt", **options):
        file = f"{name}.{ext}"
        torch.save(value, self.folder / file, **options)
        self.describe(name, file, rows_of(value) if tensors is None else tensors)

    def describe(self, name, file, tensors):
        text = json.dumps({"file": file, "tensors": tensors}, indent=1)
        (self.folder / f"{name}.json").write_text(text)


def random(shape, dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    if dtype == torch.bool:
        return torch.randint(0, 2, shape, generator=generator).bool()
    size = torch.empty((), dtype=dtype).element_size()
    count = int(np.prod(shape)) * size
    data = torch.randint(0, 256, (count,), generator=generator, dtype=torch.uint8)
    return data.view(dtype).reshape(shape)


def plain_dtypes():
    return [d for d in DTYPE_NAMES if not str(d).startswith(("torch.q"))]


def dtypes(samples):
    values = {str(d)[6:]: random((3, 5), d, i) for i, d in enumerate(plain_dtypes())}
    samples.save("dtypes", values)
    legacy = {k: v for k, v in values.items()
              if v.dtype not in (torch.uint16, torch.uint32, torch.uint64)
              and "float8" not in k and k != "complex32"}
    samples.save("dtypes_legacy", legacy, _use_new_zipfile_serialization=False)
    for protocol in (1, 3, 4, 5):  # torch cannot load its own protocol 0
        samples.save(f"protocol_{protocol}", {"w": values["float32"], "n": 2**70, "s": "\u00e9"},
                     pickle_protocol=protocol)
    samples.save("legacy_protocol_4", {"w": values["float32"]}, pickle_protocol=4,
                 _use_new_zipfile_serialization=False)
    if hasattr(torch, "float4_e2m1fn_x2"):
        packed = random((4, 6), torch.uint8, 99)
        value = packed.view(torch.float4_e2m1fn_x2)
        samples.save("float4", {"w": value}, [row("w", packed, "f4_e2m1", [4, 12])])


def shapes_and_views(samples):
    base = torch.arange(120, dtype=torch.float32).reshape(4, 5, 6)
    samples.save("views", {
        "base": base, "transposed": base.permute(2, 0, 1), "slice": base[1:3, ::2, 1:4],
        "expanded": base[0, 0, :1].expand(7), "scalar": base[3, 4, 5], "overlap":
        base.reshape(-1).as_strided((3, 4), (2, 1), 5), "offset": base[2],
    })
    samples.save("views_legacy", {"base": base, "t": base.permute(2, 0, 1), "s": base[1:3, ::2]},
                 _use_new_zipfile_serialization=False)
    samples.save("empty", {"zero": torch.empty(0), "zero3": torch.empty(2, 0, 3),
                           "scalar": torch.tensor(3.5), "none": None})
    samples.save("one_tensor", torch.arange(6).reshape(2, 3))
    samples.save("list", [torch.ones(2), (torch.zeros(3), {"k": torch.full((1,), 7)})])
    complex_base = torch.complex(torch.arange(6.0), -torch.arange(6.0)).reshape(2, 3)
    samples.save("conjugate", {"plain": complex_base, "conj": complex_base.conj(),
                               "conj_t": complex_base.mH})
    samples.save("negative", {"neg": complex_base.clone().conj().imag})
    as_bytes = torch.arange(16, dtype=torch.uint8)
    samples.save("untyped", {"u16": as_bytes.view(torch.uint16)})


def ties(samples):
    weight = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    value = {"embed": weight, "head": weight, "part": weight[1:2]}
    samples.save("ties", value)
    samples.save("ties_legacy", value, _use_new_zipfile_serialization=False)


def parameters(samples):
    torch.manual_seed(2)
    parameter = nn.Parameter(torch.randn(3, 2))
    frozen = nn.Parameter(torch.randn(3), requires_grad=False)
    marked = nn.Parameter(torch.randn(2))
    marked.note = "set by hand"
    buffer = nn.Buffer(torch.randn(2)) if hasattr(nn, "Buffer") else torch.randn(2)
    grad = torch.randn(2, requires_grad=True)
    attribute = torch.randn(2)
    attribute.tag = {"k": [1, 2]}
    samples.save("parameters", {"p": parameter, "frozen": frozen, "marked": marked,
                                "buffer": buffer, "grad": grad, "attribute": attribute})


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.norm(self.conv(x)).mean((2, 3)))


def training(samples):
    torch.manual_seed(3)
    net = Net()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, betas=(0.9, 0.95))
    net(torch.randn(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    samples.save("state_dict", net.state_dict(), ext="pth")
    samples.save("state_dict_legacy", net.state_dict(), ext="pth",
                 _use_new_zipfile_serialization=False)
    own = dict(net.named_parameters()) | dict(net.named_buffers())
    names = [row(name, own[name]) for name in net.state_dict()]
    lightning = {
        "epoch": 3, "global_step": 1200, "pytorch-lightning_version": "2.5.0",
        "state_dict": net.state_dict(), "loops": {"fit_loop": {"state": {}, "n": (1, 2.5, None)}},
        "optimizer_states": [optimizer.state_dict()], "lr_schedulers": [],
        "hyper_parameters": argparse.Namespace(lr=1e-3, layers=[1, 2], name="net"),
        "callbacks": {"best": {"score": torch.tensor(0.5), "path": "x.ckpt"}},
        "rng": torch.get_rng_state(), "bytes": b"\x00\xffabc", "set": {1, 2}, "c": 1 + 2j,
        "frozen": frozenset({3}), "size": torch.Size([2, 3]), "device": torch.device("cpu"),
        "dtype": torch.float16, "big": -(2**100), "array": np.arange(4, dtype=np.float32),
        "npscalar": np.float64(2.5), "ordered": collections.OrderedDict(a=1),
        "counter": collections.Counter("aab"), "deque": collections.deque([1, 2]),
        "path": Path("/models/x"), "bytearray": bytearray(b"xy"),
    }
    expected = [r for r in rows_of(lightning)]
    array = torch.from_numpy(lightning["array"])
    scalar = torch.tensor(2.5, dtype=torch.float64)
    expected += [row("array", array), row("npscalar", scalar)]
    samples.save("lightning", lightning, expected, ext="ckpt")
    samples.save("module", net, names, ext="pth")
    samples.save("module_legacy", net, names, ext="pth", _use_new_zipfile_serialization=False)
    samples.save("optimizer", optimizer.state_dict())


def sparse(samples):
    dense = torch.tensor([[0, 1.5, 0], [2.5, 0, 3.5]])
    coo = dense.to_sparse_coo()
    csr, csc = dense.to_sparse_csr(), dense.to_sparse_csc()
    bsr = torch.ones(4, 4).to_sparse_bsr((2, 2))
    tensors = [
        row("coo.indices", coo.indices()), row("coo.values", coo.values()),
        row("csr.crow_indices", csr.crow_indices()), row("csr.col_indices", csr.col_indices()),
        row("csr.values", csr.values()),
        row("csc.ccol_indices", csc.ccol_indices()), row("csc.row_indices", csc.row_indices()),
        row("csc.values", csc.values()),
        row("bsr.crow_indices", bsr.crow_indices()), row("bsr.col_indices", bsr.col_indices()),
        row("bsr.values", bsr.values()),
    ]
    samples.save("sparse", {"coo": coo, "csr": csr, "csc": csc, "bsr": bsr}, tensors)


def quantized(samples):
    values = torch.linspace(-2, 2, 12).reshape(3, 4)
    made = {
        "q8": torch.quantize_per_tensor(values, 0.1, 3, torch.qint8),
        "qu8": torch.quantize_per_tensor(values, 0.05, 128, torch.quint8),
        "q32": torch.quantize_per_tensor(values, 0.01, 0, torch.qint32),
        "channel": torch.quantize_per_channel(values, torch.tensor([0.1, 0.2, 0.3]).double(),
                                              torch.tensor([0, 1, 2]), 0, torch.qint8),
    }
    tensors = [row(name, value) for name, value in made.items()]
    channel = made["channel"]
    tensors += [row("channel.scales", channel.q_per_channel_scales()),
                row("channel.zero_points", channel.q_per_channel_zero_points())]
    samples.save("quantized", made, tensors)
    samples.save("quantized_legacy", {"q8": made["q8"]}, [row("q8", made["q8"])],
                 _use_new_zipfile_serialization=False)


class Tagged(torch.Tensor):
    pass


def special(samples):
    plain = torch.arange(3.0)
    samples.save("meta", {"meta": torch.empty(2, 3, device="meta"), "w": plain}, [row("w", plain)])
    tagged = torch.arange(4.0).as_subclass(Tagged)
    samples.save("subclass", {"t": tagged}, [row("t", tagged.as_subclass(torch.Tensor))])
    nested = torch.nested.nested_tensor([torch.ones(2, 3), torch.zeros(1, 3)])
    flat = torch.cat([torch.ones(6), torch.zeros(3)])
    samples.save("nested", {"n": nested, "w": plain}, [
        row("n.0", flat), row("n.1", nested._nested_tensor_size()),
        row("n.2", nested._nested_tensor_strides()),
        row("n.3", nested._nested_tensor_storage_offsets()), row("w", plain)])
    storage = torch.arange(5, dtype=torch.int16).untyped_storage()
    samples.save("storage", {"s": torch.storage.TypedStorage(
        wrap_storage=storage, dtype=torch.int16, _internal=True)},
        [row("s", torch.arange(5, dtype=torch.int16))])
    deep = leaf = {}
    for _ in range(200):
        leaf["d"] = {}
        leaf = leaf["d"]
    leaf["w"] = plain
    samples.save("deep", deep)
    samples.save("wide", {f"layer.{i}.weight": torch.full((2,), float(i)) for i in range(2000)})


class Scripted(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.register_buffer("scale", torch.tensor([2.0]))

    def forward(self, x):
        return self.linear(x) * self.scale + torch.tensor([1.0, 2.0])


def torchscript(samples):
    torch.manual_seed(4)
    net = Scripted()
    script = torch.jit.trace(net, torch.ones(1, 3))
    torch.jit.save(script, samples.folder / "script.pt", _extra_files={"note.txt": b"hello"})
    tensors = [row(name, value) | {"parameter": False}  # TorchScript keeps only requires_grad
               for name, value in (dict(net.named_parameters()) | dict(net.named_buffers())).items()]
    tensors.append(row("constants.0", torch.tensor([1.0, 2.0])))
    samples.describe("script", "script.pt", tensors)


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    samples = Samples(folder)
    for make in (dtypes, shapes_and_views, ties, parameters, training, sparse, quantized, special,
                 torchscript):
        make(samples)
    print(f"{len(list(folder.glob('*.json')))} samples in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
