"""Entries of small bundles: numbers, strings, a partitioned variable, an object graph."""

import struct


def varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def number(field, value):
    return varint(field << 3) + varint(value)


def message(field, content):
    return varint(field << 3 | 2) + varint(len(content)) + content


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def entry(dtype, shape, offset, size, slices=(), crc=bytes(4)):
    out = number(1, dtype) + message(2, b"".join(message(2, number(1, d)) for d in shape))
    if offset:
        out += number(4, offset)
    if size:
        out += number(5, size)
    out += varint(6 << 3 | 5) + crc
    for extents in slices:
        out += message(7, b"".join(message(1, number(1, a) + number(2, n)) for a, n in extents))
    return out


def slice_key(name, extents):
    # Numbers below 64 take one byte, with the sign bit turned.
    out = b"\0" + name + b"\0\1" + bytes([1, len(extents)])
    return out + b"".join(bytes([0x80 ^ a, 0x80 ^ n]) for a, n in extents)


def bundle(entries, data=b"", compress=0):
    entries = {b"": number(1, 1) + message(3, number(1, 1)), **entries}
    out = bytes([compress, len(entries)])
    for key, value in entries.items():
        out += bytes([len(key)]) + key + struct.pack(">H", len(value)) + value
    return out + data


def strings(words):
    lengths = b"".join(varint(len(w)) for w in words)
    counted = b"".join(struct.pack("<I", len(w)) for w in words)
    total = masked(counted)
    text = b"".join(words)
    return lengths + total + text, masked(counted + total + text)


def seeds():
    yield "numbers", bundle({b"w": entry(1, [2, 2], 0, 16), b"b": entry(14, [3], 16, 6)}, bytes(22))
    yield "snappy", bundle({b"w%d" % i: entry(3, [2], 0, 8) for i in range(9)}, bytes(8), 1)
    parts = [((0, 1), (0, 2)), ((1, 1), (0, 2))]
    yield "partitioned", bundle({slice_key(b"v", parts[0]): entry(4, [1, 2], 0, 2),
                                 slice_key(b"v", parts[1]): entry(4, [1, 2], 2, 2),
                                 b"v": entry(4, [2, 2], 0, 0, parts)}, b"abcd")
    data, crc = strings([b"one", b"", b"three"])
    yield "strings", bundle({b"s": entry(7, [3], 0, len(data), crc=crc)}, data)
    variable = message(2, message(1, b"VARIABLE_VALUE") + message(2, b"w") + message(3, b"w/.ATTRIBUTES"))
    slot = message(3, number(1, 0) + message(2, b"m") + number(3, 1))
    data, crc = strings([message(1, variable) + message(1, variable) + message(1, slot)])
    yield "object_graph", bundle(
        {b"_CHECKPOINTABLE_OBJECT_GRAPH": entry(7, [], 0, len(data), crc=crc),
         b"w/.ATTRIBUTES": entry(1, [1], 0, 4)}, data)
    yield "version_one", bundle({b"": message(1, b"meta")})
    yield "big_endian", bundle({b"": number(1, 1) + number(2, 1), b"w": entry(3, [1], 0, 4)}, bytes(4))
    yield "two_shards", bundle({b"": number(1, 2), b"w": entry(4, [1], 0, 1) + number(3, 1)}, b"x")
