"""Small legacy torch streams, sound and not, made without torch."""

import struct

from torch_zip_seeds import integers, number, pickle, storage, tensor, text

MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."


def stream(body, keys, storages):
    info = b"\x80\x02}(" + text(b"little_endian") + b"\x88u."
    listed = b"\x80\x02](" + b"".join(text(k) for k in keys) + b"e."
    data = b"".join(struct.pack("<q", count) + data for count, data in storages)
    return MAGIC + b"\x80\x02M\xe9\x03." + info + body + listed + data


def seeds():
    one = pickle([(b"w", tensor(storage(b"0", 6, tail=b"N"), [2, 3], [3, 1]))])
    floats = b"\0\0\x80?" * 6
    whole = stream(one, [b"0"], [(6, floats)])
    yield "plain", whole
    yield "cut", whole[:-5]
    yield "tail", whole + b"more"
    view = b"(" + text(b"v") + number(2) + number(3) + b"t"
    yield "view", stream(pickle([(b"v", tensor(storage(b"0", 6, tail=view), [2], [1], 1))]),
                         [b"0"], [(6, floats)])
    yield "count", stream(one, [b"0"], [(2**62, floats)])
    yield "negative", stream(one, [b"0"], [(-1, floats)])
    yield "unknown_key", stream(one, [b"1"], [(6, floats)])
    yield "module", stream(b"\x80\x02(" + text(b"module") + b"cm\nC\n" + text(b"f.py")
                           + text(b"class C: pass") + b"tQ)\x81}(" + text(b"a") + number(1)
                           + b"ub.", [], [])
    yield "payload", stream(b"\x80\x02cos\nsystem\nU\x02id\x85R.", [], [])
    yield "shape", stream(pickle([(b"w", tensor(storage(b"0", 6, tail=b"N"), [2**31 - 1] * 3,
                                                [2**31 - 1] * 3))]), [b"0"], [(6, floats)])
    assert integers([1])
