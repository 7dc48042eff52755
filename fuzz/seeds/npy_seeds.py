"""Small .npy files, sound and not."""

import pickle
import struct


def file(literal, data=b"", major=1):
    text = literal.encode()
    length = struct.pack("<H" if major == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([major, 0]) + length + text + data


def header(descr, shape, fortran=False):
    return f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n"


def seeds():
    yield "f4", file(header("<f4", "(2,)"), bytes(8))
    yield "fortran_big", file(header(">i2", "(2, 3)", True), bytes(12), 2)
    yield "v3", file(header("|u1", "()"), b"a", 3)
    yield "objects", file(header("|O", "(1,)"), pickle.dumps([{"a": [1, 2.5, b"x"]}], 2))
    yield "fields", file("{'descr': [('a', '<f4'), ('b', '<i4', (2,))], "
                         "'fortran_order': False, 'shape': (1,)}", bytes(12))
    yield "long", file(header("<f8", "(3L,)"), bytes(24))
    yield "cut", file(header("<f8", "(30,)"), bytes(24))
    yield "huge", file(header("<f8", "(4294967296, 4294967296)"))
    yield "trailing", file(header("|i1", "(1,)"), b"abc")
