"""Sorted tables that TensorFlow wrote, and contents of blocks."""

import struct
from pathlib import Path

from tensorflow_seeds import varint

DATA = Path(__file__).resolve().parents[2] / "tests" / "tensorflow" / "data"


def entry(shared, rest, value):
    return varint(shared) + varint(len(rest)) + varint(len(value)) + rest + value


def seeds():
    for name in ("strings", "partitioned", "two_shards"):
        yield name, (DATA / f"{name}.index").read_bytes()
    yield "block", (entry(0, b"", b"\x08\x01") + entry(0, b"layer/a", b"x") + entry(6, b"b", b"yy")
                    + struct.pack("<II", 0, 1))
    yield "disorder", entry(0, b"b", b"") + entry(0, b"a", b"") + struct.pack("<II", 0, 1)
    yield "snappy_block", b"\x08\x1c\0\0\0\0\1\0\0\0"
    yield "cut", (DATA / "strings.index").read_bytes()[:-60]
