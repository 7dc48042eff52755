"""Pickles of ordinary data, which no scan may flag."""

import argparse
import collections
import datetime
import decimal
import fractions
import pathlib
import pickle
import struct

from assembler import *  # noqa: F403
from wrappings import legacy, tar_of, torch_zip

DATA = {
    "none": None,
    "numbers": [0, 1, -1, 255, 256, 65536, -2**31, 2**63, 2**200, -2**70, 1.5, float("inf"), True],
    "texts": ["", "text", "é€\U0001f600", "line\nbreak", "x" * 300, "quote'\"\\"],
    "bytes": [b"", b"bytes", bytes(range(256)), bytearray(b"array")],
    "containers": {"list": [1, [2, [3]]], "tuple": (1, (2,), ()), "dict": {1: 2, (3, 4): 5}},
    "set": {1},
    "frozenset": frozenset([1]),
    "complex": complex(1, -2),
    "slice": slice(1, 2),
    "range": range(3),
    "ordered": collections.OrderedDict(a=1, b=2),
    "counter": collections.Counter("aab"),
    "defaultdict": collections.defaultdict(list, {"a": [1]}),
    "deque": collections.deque([1, 2], 4),
    "namespace": argparse.Namespace(lr=0.1, name="run"),
    "datetime": datetime.datetime(2024, 1, 2, 3, 4, 5),
    "timedelta": datetime.timedelta(days=1),
    "timezone": datetime.timezone.utc,
    "decimal": decimal.Decimal("1.50"),
    "fraction": fractions.Fraction(1, 3),
    "path": pathlib.PurePosixPath("/a/b"),
    "exception": ValueError("text"),
    "suspicious_text": "cos\nsystem\n(S'echo'\ntR.",
    "suspicious_words": ["os.system", "eval", "__import__('os')", "subprocess"],
}


def shared():
    inner = [1, 2]
    loop = []
    loop.append(loop)
    return {"twice": [inner, inner], "loop": loop, "same": ("x",) * 5}


def dtype(code, order="<"):
    return (call("numpy", "dtype", [code, False, True])
            + value((3, order, None, None, None, -1, -1, 0)) + BUILD)


def array(shape, code, data, order="<", module="numpy.core.multiarray"):
    return (call(module, "_reconstruct", [name("numpy", "ndarray"), (0,), b"C\x01b"])
            + value((1, tuple(shape), dtype(code, order), False, bytes3(data))) + BUILD)


def storage(kind, key, count):
    return value(("storage", name("torch", kind), str(key), "cpu", count)) + b"Q"


def tensor(kind, key, shape):
    count = 1
    strides = []
    for size in reversed(shape):
        strides.insert(0, count)
        count *= size
    return (name("torch._utils", "_rebuild_tensor_v2")
            + value((storage(kind, key, count), 0, tuple(shape), tuple(strides), False,
                     call("collections", "OrderedDict", []))) + REDUCE)


def state_dict():
    return (proto(2) + call("collections", "OrderedDict", [])
            + MARK + value("layer.weight") + tensor("FloatStorage", 0, [2, 3])
            + value("layer.bias") + tensor("FloatStorage", 1, [2]) + SETITEMS + STOP)


STORAGES = [("archive/data/0", struct.pack("<6f", *range(6))),
            ("archive/data/1", struct.pack("<2f", 1, 2))]


def bare():
    """Yields (name, what, bytes)."""
    for stem, data in {**DATA, "shared": shared()}.items():
        for number in range(6):
            yield f"{stem}_{number}", f"{stem}, protocol {number}", pickle.dumps(data, number)
    floats = struct.pack("<3f", 0, 1, 2)
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        yield (f"numpy_{module}", "a numpy array",
               proto(3) + array([3], "f4", floats, module=module) + STOP)
    yield "numpy_big_endian", "a big-endian array", proto(3) + array([3], "f4", floats, ">") + STOP
    yield "numpy_scalar", "a numpy scalar", (
        proto(3) + call("numpy.core.multiarray", "scalar", [dtype("f4"), bytes3(floats[:4])]) + STOP)
    yield "several", "three pickles in one file", pickle.dumps(1) + pickle.dumps([2]) + pickle.dumps({3: 4})
    yield "padded", "a pickle and zeros", pickle.dumps({"a": 1}) + b"\0" * 100
    yield "omegaconf", "settings of OmegaConf", proto(2) + (
        name("omegaconf.dictconfig", "DictConfig") + EMPTY_TUPLE + NEWOBJ
        + value({"_content": {"lr": 1}, "_parent": None}) + BUILD + STOP)
    yield "lightning", "hyperparameters of Lightning", proto(2) + (
        name("pytorch_lightning.utilities.parsing", "AttributeDict") + EMPTY_TUPLE + NEWOBJ
        + MARK + value("lr") + value(1) + SETITEMS + STOP)
    yield "module", "a torch.nn.Module", proto(2) + (
        name("torch.nn.modules.linear", "Linear") + EMPTY_TUPLE + NEWOBJ
        + value({"training": True, "in_features": 3}) + BUILD + STOP)
    yield "sklearn", "an estimator", proto(2) + (
        name("sklearn.linear_model._logistic", "LogisticRegression") + EMPTY_TUPLE + NEWOBJ
        + value({"C": 1, "coef_": array([3], "f4", floats)}) + BUILD + STOP)


def wrapped():
    """Yields (name, what, bytes)."""
    yield "state_dict.pt", "torch zip of a state dict", torch_zip(state_dict(), extra=STORAGES)
    objects = (proto(2) + call("collections", "OrderedDict", [])
               + MARK + value("w") + name("torch._utils", "_rebuild_tensor_v2")
               + value((value(("storage", name("torch", "FloatStorage"), "0", "cpu", 2, None)) + b"Q",
                        0, (2,), (1,), False, call("collections", "OrderedDict", []))) + REDUCE
               + SETITEMS + STOP)
    keys = proto(2) + value(["0"]) + STOP
    data = struct.pack("<q2f", 2, 1, 2)
    yield "legacy.pt", "legacy torch file", legacy(objects, keys=keys) + data
    yield "legacy_empty.pt", "legacy torch file of a dict", legacy()
    zero = proto(2) + b"K\x00" + STOP
    yield "tar.pt", "torch tar", tar_of(
        [("sys_info", proto(2) + value({"little_endian": True}) + STOP),
         ("pickle", proto(2) + EMPTY_DICT + STOP), ("storages", zero), ("tensors", zero)])
