"""Small safetensors files, sound and not."""

import struct


def file(header, data=b""):
    return struct.pack("<Q", len(header)) + header + data


def seeds():
    yield "empty", file(b"{}")
    yield "two", file(b'{"__metadata__":{"format":"pt"},'
                      b'"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
                      b'"b":{"dtype":"F4","shape":[2,2],"data_offsets":[8,10]}}', b"0123456789")
    yield "spaces", file(b'  {"a":{"dtype":"BF16","shape":[],"data_offsets":[0,2]}}   ', b"ab")
    yield "hole", file(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}', b"ab")
    yield "overlap", file(b'{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},'
                          b'"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}', b"abc")
    yield "cut", file(b'{"a":{"dtype":"I64","shape":[2],"data_offsets":[0,16]}}', b"abc")
    yield "twice", file(b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},'
                        b'"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}')
    yield "huge", file(b'{"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}}')
    yield "polyglot", file(b'{"a":{"dtype":"U8","shape":[22],"data_offsets":[0,22]}}',
                           b"PK\5\6" + bytes(18))
