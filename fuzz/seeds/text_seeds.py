"""Patterns and texts, with a NUL between them."""


def seeds():
    yield "star", b"*.weight\0model.layers.0.weight"
    yield "class", b"h.[0-9]*.[!b]\0h.12.w"
    yield "open_class", b"[a\0[a"
    yield "escape", b"\\*\\\0*"
    yield "stars", b"*a*a*a*a*b\0" + b"a" * 64
    yield "bidirectional", b"?\0\xe2\x80\xaeevil\x1b[31m"
    yield "invalid", b"\xff\0\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80"
    yield "size", b"1.5GiB\0"
    yield "size_max", b"18446744073709551615\0"
    yield "base64", b"aGVsbG8=\0hello"
