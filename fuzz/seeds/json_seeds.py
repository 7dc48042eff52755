"""JSON as checkpoints carry it, and the edges of the grammar."""

import json


def seeds():
    header = {"__metadata__": {"format": "pt"},
              "w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
    yield "header", json.dumps(header).encode()
    yield "config", json.dumps({"architectures": ["X"], "n": -1.5e-7, "t": True, "z": None}).encode()
    yield "escapes", rb'"\u00e9\ud83d\ude00\n\t\"\\\/\b\f\r\u0000"'
    yield "lone_surrogate", rb'"\ud800"'
    yield "duplicate_key", b'{"a":1,"a":2}'
    yield "deep", b"[" * 200 + b"]" * 200
    yield "numbers", b"[0,-0,1e999,18446744073709551616,-9223372036854775809,0.1e-400]"
    yield "invalid_utf8", b'"\xff\xfe"'
    yield "trailing", b"{} {}"
    yield "bom", b"\xef\xbb\xbf{}"
    yield "cut", b'{"a": [1, 2'
