"""Small zip archives, sound and not."""

import io
import zipfile

PAYLOAD = b"\x80\x02cos\nsystem\nU\x02id\x85R."


def archive(members, method=zipfile.ZIP_STORED, comment=b""):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, data in members:
            file.writestr(zipfile.ZipInfo(name), data, compress_type=method)
        file.comment = comment
    return out.getvalue()


def seeds():
    two = archive([("a/one", b"first"), ("a/two", b"second" * 9)])
    yield "empty", archive([])
    yield "two", two
    yield "deflated", archive([("a", b"x" * 300)], zipfile.ZIP_DEFLATED)
    yield "commented", archive([("a", b"b")], comment=b"PK\5\6" + bytes(18))
    yield "behind_junk", b"#!/bin/sh\n" + two
    yield "cut", two[:-30]
    yield "no_directory", two[: two.index(b"PK\1\2")]
    yield "nested", archive([("in.zip", archive([("p", PAYLOAD)])), ("p.txt", PAYLOAD)])
    yield "twice", two.replace(b"a/two", b"a/one")
    yield "local_name", two.replace(b"a/one", b"b/one", 1)
    yield "up", two.replace(b"a/one", b"../ne")
    streamed = io.BytesIO()
    with zipfile.ZipFile(streamed, "w") as file, file.open("late", "w", force_zip64=True) as member:
        member.write(b"sizes follow")
    yield "zip64", streamed.getvalue()
    yield "encrypted", two.replace(b"PK\3\4\x14\0\0\0", b"PK\3\4\x14\0\1\0", 1)
    yield "size_max", two[:-10] + b"\xff" * 8 + two[-2:]
