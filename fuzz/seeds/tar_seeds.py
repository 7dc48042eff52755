"""Small tar archives, sound and not."""

import io
import tarfile

PAYLOAD = b"\x80\x02cos\nsystem\nU\x02id\x85R."


def archive(members, kind=tarfile.REGTYPE, form=tarfile.USTAR_FORMAT, link=""):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=form) as file:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data) if kind == tarfile.REGTYPE else 0
            info.type = kind
            info.linkname = link
            file.addfile(info, io.BytesIO(data))
    # Less of the padding, so that mutations hit headers.
    return out.getvalue().rstrip(b"\0") + bytes(1024)


def seeds():
    yield "one", archive([("a", b"first")])
    yield "two", archive([("a", b"first"), ("b", PAYLOAD)])
    yield "link", archive([("a", b"")], tarfile.SYMTYPE, link="/etc/passwd")
    yield "device", archive([("a", b"")], tarfile.CHRTYPE)
    yield "up", archive([("../a", b"x")])
    yield "pax", archive([("n" * 120, b"x")], form=tarfile.PAX_FORMAT)
    yield "gnu", archive([("n" * 120, b"x")], form=tarfile.GNU_FORMAT)
    yield "nested", archive([("in.tar", archive([("p", PAYLOAD)]))])
    yield "cut", archive([("a", b"first" * 200)])[:700]
    yield "zeroes", bytes(1024)
