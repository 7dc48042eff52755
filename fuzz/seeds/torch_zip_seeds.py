"""Small torch zip archives, sound and not, made without torch."""

import io
import struct
import zipfile

ODICT = b"ccollections\nOrderedDict\n)R"


def number(value):
    return b"J" + struct.pack("<i", value)


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value


def integers(values):
    return b"(" + b"".join(number(v) for v in values) + b"t"


def storage(key, count, kind=b"ctorch\nFloatStorage\n", tail=b""):
    return b"(" + text(b"storage") + kind + text(key) + text(b"cpu") + number(count) + tail + b"tQ"


def tensor(place, shape, strides, offset=0, function=b"_rebuild_tensor_v2", extra=b""):
    return (b"ctorch._utils\n" + function + b"\n(" + place + number(offset) + integers(shape)
            + integers(strides) + b"\x89" + ODICT + extra + b"tR")


def pickle(entries):
    return b"\x80\x02}(" + b"".join(text(k) + v for k, v in entries) + b"u."


def archive(pickled, storages=(b"\0\0\x80?" * 6,), more=(), method=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        members = [("m/data.pkl", pickled), ("m/byteorder", b"little")]
        members += [(f"m/data/{i}", data) for i, data in enumerate(storages)]
        members += [("m/version", b"3\n"), *more]
        for name, data in members:
            file.writestr(zipfile.ZipInfo(name), data, compress_type=method)
    return out.getvalue()


PLAIN = tensor(storage(b"0", 6), [2, 3], [3, 1])


def seeds():
    whole = archive(pickle([(b"w", PLAIN)]))
    yield "plain", whole
    yield "deflated", archive(pickle([(b"w", PLAIN)]), method=zipfile.ZIP_DEFLATED)
    yield "views", archive(pickle([(b"a", PLAIN),
                                   (b"b", tensor(storage(b"0", 6), [3], [2], 1))]))
    untyped = storage(b"0", 24, b"ctorch.storage\nUntypedStorage\n")
    yield "typed_by_call", archive(pickle([(b"w", tensor(
        untyped, [12], [1], 0, b"_rebuild_tensor_v3", b"ctorch\nuint16\n"))]))
    yield "parameter", archive(pickle([(b"p", b"ctorch._utils\n_rebuild_parameter\n(" + PLAIN
                                        + b"\x88" + ODICT + b"tR")]))
    yield "sparse", archive(pickle([(b"s", b"ctorch._utils\n_rebuild_sparse_tensor\n("
                                     b"ctorch.serialization\n_get_layout\n(" + text(
                                         b"torch.sparse_coo") + b"tR(" + PLAIN + PLAIN
                                     + integers([4, 4]) + b"\x88ttR")]))
    params = b"(ctorch\nper_tensor_affine\n" + b"G?\xb9\x99\x99\x99\x99\x99\x9a" + number(3) + b"t"
    quantized = storage(b"0", 24, b"ctorch\nQInt8Storage\n")
    yield "quantized", archive(pickle([(b"q", b"ctorch._utils\n_rebuild_qtensor\n(" + quantized
                                        + number(0) + integers([24]) + integers([1]) + params
                                        + b"\x89" + ODICT + b"tR")]))
    yield "outside", archive(pickle([(b"w", tensor(storage(b"0", 6), [7], [1]))]))
    yield "short", archive(pickle([(b"w", PLAIN)]), (b"1234",))
    yield "missing", archive(pickle([(b"w", PLAIN)]), ())
    yield "script", archive(pickle([(b"w", PLAIN)]), more=[
        ("m/constants.pkl", b"\x80\x02)."), ("m/code/__torch__.py", b"def f(x): ...\n")])
    yield "payload", archive(b"\x80\x02cos\nsystem\nU\x02id\x85R.")
    yield "cut", whole[:-40]
    yield "bare_storage", archive(pickle([(b"s", storage(b"0", 6))]))
