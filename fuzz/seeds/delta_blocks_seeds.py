"""Blocks of deltas behind four bytes that say what they are of (fuzz/delta_blocks_fuzz.cc)."""

import struct

BF16, WIDER_BASE, LARGE = 1, 8, 16


def entry(form, size):
    return struct.pack("<I", form << 28 | size)


def of(kind, elements, payload, base=0):
    return struct.pack("<BHB", kind, elements, base) + payload


def seeds():
    raw = bytes.fromhex("803f004040 40a040".replace(" ", ""))
    yield "raw", of(BF16, 4, entry(0, 8) + raw)
    yield "same", of(BF16, 4, entry(15, 0))
    yield "same-with-bytes", of(BF16, 4, entry(15, 2) + b"ab")
    yield "same-of-shorter-base", of(BF16, 4, entry(15, 0), base=1)
    yield "cut-directory", of(BF16 + LARGE, 4, entry(15, 0))
    yield "two-blocks", of(BF16 + LARGE, 4, entry(15, 0) * 2)
    yield "unknown-form", of(BF16, 4, entry(9, 8) + raw)
    yield "too-long", of(BF16, 4, entry(0, 9) + raw + b"x")
    yield "left-over", of(BF16, 4, entry(0, 8) + raw + b"x")
    yield "exponent-zeros", of(BF16, 300, entry(2, 5) + bytes.fromhex("0101000000"))
    yield "delta-of-damaged", of(BF16, 64, entry(3, 12) + bytes.fromhex("010000000000870001020100"))
    yield "cast", of(BF16 + WIDER_BASE, 8, entry(4, 5) + bytes.fromhex("0100000000"))
    yield "cast-with-exception", of(BF16 + WIDER_BASE, 8, entry(4, 8) + bytes.fromhex("010100000003abcd"))
    yield "cast-of-equal-dtypes", of(BF16, 8, entry(4, 5) + bytes.fromhex("0100000000"))
    yield "zstd-damaged", of(0, 64, entry(1, 6) + bytes.fromhex("28b52ffd2040"))
