"""Small files of torch's tar layout, sound and not, made without torch."""

import struct

from tar_seeds import archive
from torch_zip_seeds import number, pickle, storage, tensor, text


def row(first, second, kind):
    return b"\x80\x02(" + number(first) + second + kind + b"t."


def seeds():
    info = b"\x80\x02}."
    object_ = b"\x80\x02}(" + text(b"t") + text(b"8") + b"Qu."
    floats = b"\0\0\x80?" * 6
    storages = (b"\x80\x02K\x01." + row(7, text(b"cpu"), b"ctorch\nFloatStorage\n")
                + struct.pack("<q", 6) + floats + b"\x80\x02].")
    tensors = (b"\x80\x02K\x01." + row(8, number(7), b"ctorch\nFloatTensor\n")
               + struct.pack("<qqqqqq", 2, 2, 3, 3, 1, 0))
    yield "plain", archive([("sys_info", info), ("pickle", object_), ("tensors", tensors),
                            ("storages", storages)])
    calls = pickle([(b"w", tensor(storage(b"7", 6)[:-1], [6], [1]))])
    yield "calls", archive([("sys_info", info), ("pickle", calls), ("storages", storages)])
    yield "cut", archive([("pickle", object_), ("tensors", tensors), ("storages", storages[:-30])])
    yield "dimensions", archive([("pickle", object_), ("tensors", tensors.replace(
        struct.pack("<q", 2), struct.pack("<q", 2**31 - 1), 1)), ("storages", storages)])
    yield "payload", archive([("pickle", b"\x80\x02cos\nsystem\nU\x02id\x85R."),
                              ("storages", storages)])
