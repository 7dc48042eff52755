"""Small .npz files, stored and deflated."""

import io
import zipfile

from npy_seeds import file, header


def archive(method, *members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        for name, content in members:
            z.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    return out.getvalue()


def seeds():
    import pickle
    floats = file(header("<f4", "(2,)"), bytes(8))
    odd = file(header("<f8", "(1,)") + " ", bytes(8))
    objects = file(header("|O", "()"), pickle.dumps({"k": [None, True]}, 2))
    yield "stored", archive(zipfile.ZIP_STORED, ("a.npy", floats), ("b.npy", odd))
    yield "deflated", archive(zipfile.ZIP_DEFLATED, ("a.npy", floats), ("b.npy", odd))
    yield "objects", archive(zipfile.ZIP_DEFLATED, ("o.npy", objects), ("note.txt", b"hello"))
    yield "cut", archive(zipfile.ZIP_STORED, ("a.npy", floats), ("b.npy", odd))[:-60]
    yield "empty", archive(zipfile.ZIP_STORED)
