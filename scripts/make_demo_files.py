#!/usr/bin/env python3
"""Makes small checkpoints for the demo with Python's standard library alone.

Usage: make_demo_files.py FOLDER

  model.safetensors   two tensors and a licence in the metadata
  training.pt         PyTorch's legacy stream (torch before 1.6), an epoch, a shared storage
  dangerous.pt        a PyTorch zip whose pickle would run a shell command if unpickled

Nothing here is ever unpickled: the dangerous file is assembled from opcodes, and
only Kilter reads it.
"""

import math
import io
import json
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001


def floats(count, scale=1.0):
    return struct.pack(f"<{count}f", *(scale * (i % 7 - 3) for i in range(count)))


def write_safetensors(path):
    tensors = {"embed.weight": ([64, 32], floats(64 * 32)), "head.bias": ([64], floats(64, 0.5))}
    header, data = {"__metadata__": {"format": "pt", "licence": "apache-2.0"}}, b""
    for name, (shape, raw) in tensors.items():
        header[name] = {"dtype": "F32", "shape": shape,
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def stand_in(module, name):
    """A global that pickles as `module.name`, without that module being installed."""
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        sys.modules.setdefault(".".join(parts[:depth]),
                               types.ModuleType(".".join(parts[:depth])))
    made = type(name, (), {"__module__": module, "__qualname__": name})
    setattr(sys.modules[module], name, made)
    return made


REBUILD_TENSOR = stand_in("torch._utils", "_rebuild_tensor_v2")
FLOAT_STORAGE = stand_in("torch", "FloatStorage")


class Storage:
    """A run of float32 numbers that tensors are views of."""

    def __init__(self, key, raw):
        self.key, self.raw, self.count = key, raw, len(raw) // 4


class Tensor:
    """A strided view, pickled the way torch pickles one."""

    def __init__(self, storage, offset, shape, strides):
        self.arguments = (storage, offset, shape, strides, False, OrderedDict())

    def __reduce__(self):
        return (REBUILD_TENSOR, self.arguments)


class LegacyPickler(pickle.Pickler):
    def persistent_id(self, obj):
        if isinstance(obj, Storage):
            return ("storage", FLOAT_STORAGE, obj.key, "cpu", obj.count, None)
        return None


def write_legacy(path):
    weight = Storage("1001", floats(48 * 16))
    bias = Storage("1002", floats(48, 0.25))
    state = OrderedDict([
        ("layer.weight", Tensor(weight, 0, (48, 16), (16, 1))),
        ("layer.weight_t", Tensor(weight, 0, (16, 48), (1, 16))),
        ("layer.bias", Tensor(bias, 0, (48,), (1,))),
    ])
    checkpoint = {"epoch": 3, "loss": 0.25, "state_dict": state}
    with path.open("wb") as out:
        pickle.dump(LEGACY_MAGIC, out, protocol=2)
        pickle.dump(LEGACY_PROTOCOL, out, protocol=2)
        pickle.dump({"protocol_version": LEGACY_PROTOCOL, "little_endian": True,
                     "type_sizes": {"short": 2, "int": 4, "long": 4}}, out, protocol=2)
        LegacyPickler(out, protocol=2).dump(checkpoint)
        pickle.dump([weight.key, bias.key], out, protocol=2)
        for storage in (weight, bias):
            out.write(struct.pack("<q", storage.count) + storage.raw)


def write_dangerous(path):
    command = b"echo this would have run on your machine"
    program = (pickle.PROTO + b"\x02" + pickle.GLOBAL + b"os\nsystem\n" + pickle.BINUNICODE +
               struct.pack("<I", len(command)) + command + pickle.TUPLE1 + pickle.REDUCE +
               pickle.STOP)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, data in (("data.pkl", program), ("byteorder", b"little"), ("version", b"3\n")):
            archive.writestr(zipfile.ZipInfo(f"dangerous/{name}"), data)
    path.write_bytes(content.getvalue())


def write_series(folder):
    """Checkpoints of a run as trainers leave them: weights that move, a loss that falls and rises."""
    weights = [0.02 * math.sin(i * 0.7) * math.cos(i * 1.3) for i in range(40_000)]
    history = []
    for step in range(100, 1300, 100):
        weights = [w + 1e-4 * math.sin(i + step) for i, w in enumerate(weights)]
        loss = 0.9 + 2.0 * math.exp(-step / 300) + (4e-6 * (step - 700) ** 2 if step > 700 else 0)
        history.append({"step": step, "epoch": step / 400, "loss": round(loss, 4), "learning_rate": 2e-5})
        checkpoint = folder / f"checkpoint-{step}"
        checkpoint.mkdir(parents=True, exist_ok=True)
        header = json.dumps({"layer.weight": {"dtype": "F32", "shape": [200, 200],
                                              "data_offsets": [0, 160_000]}}).encode()
        header += b" " * (-len(header) % 8)
        data = struct.pack(f"<{len(weights)}f", *weights)
        (checkpoint / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + data)
        state = {"global_step": step, "epoch": step / 400, "log_history": history}
        (checkpoint / "trainer_state.json").write_text(json.dumps(state, indent=1))


def main(arguments):
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(arguments[1])
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / "model.safetensors")
    write_legacy(folder / "training.pt")
    write_dangerous(folder / "dangerous.pt")
    write_series(folder / "run")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
