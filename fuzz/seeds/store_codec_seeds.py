"""Payloads of the forms of chunks: the examples of spec/store-forms.md, and chunks to encode."""

import struct

FORMS = {"raw": 0, "zstd": 1, "exponent": 2, "delta": 3, "cast": 4}
BF16, F32, INT32 = 1, 3, 8


def seed(form, element, plain_bytes, payload, base=b""):
    return struct.pack("<BBHH", FORMS[form], element, len(base), plain_bytes) + base + payload


def seeds():
    yield "zeros", seed("exponent", BF16, 600, bytes.fromhex("0101000000"))
    cycle = bytes.fromhex("783ddf8fd7f3fd") * 8
    yield "exponent", seed("exponent", BF16, 128, bytes.fromhex("0101010100030000000000") + cycle)
    coded = "0709801800800800000000005401000054010000540100000c0400"
    yield "coded", seed("exponent", BF16, 8, bytes.fromhex("0101010109" + "02" + coded))
    yield "sevens", seed("exponent", BF16, 4, bytes.fromhex("010101" + "0300010000000001813f" + "0109"))
    base = b"".join(struct.pack("<I", 0x3F800000 + 0x1000 * i) for i in range(64))
    unused = "0100"
    delta = (
        "0100000000008700" + "0102" + unused * 8 + "0007801a008002000000008004" + unused * 7
        + "02000000126f570200071b0000071b0000071b004efc001fff"
    )
    yield "delta", seed("delta", F32, 256, bytes.fromhex(delta), base)
    scaled = "01056666663f00000101" + unused * 16 + "00000000" + "00000100" * 4
    yield "scaled", seed("delta", F32, 256, bytes.fromhex(scaled), base)
    wide = b"".join(struct.pack("<I", 0x3F800000 + 0x18000 * i) for i in range(8))
    yield "cast", seed("cast", BF16, 16, bytes.fromhex("0101000000033412"), wide)
    yield "zstd", seed("zstd", 0, 100, bytes.fromhex("28b52ffd2064450000080501005f8028"))
    floats = b"".join(struct.pack("<f", (i - 50) / 64) for i in range(100))
    yield "floats", seed("exponent", F32, 400, floats)
    yield "floats_delta", seed("delta", F32, 400, floats, floats[:200])
    yield "integers", seed("delta", INT32, 400, bytes(range(200)) * 2, bytes(range(100)))
    yield "raw", seed("raw", 0, 3, b"abc")
