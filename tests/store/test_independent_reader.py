"""The second reader against the examples of the specifications and against stores of the program."""

import json
import struct

import numpy as np
import pytest

import make_golden
from blake3_numpy import blake3
from independent_reader import Store, decode_form, round_f32


@pytest.mark.parametrize("length, digest", [
    # From the test vectors of BLAKE3: byte i is i mod 251.
    (0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
    (1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"),
    (1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"),
    (1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444"),
    (102400, "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085"),
])
def test_blake3(length, digest):
    assert blake3(bytes(i % 251 for i in range(length))).hex() == digest


def floats(*bits):
    return struct.pack(f"<{len(bits)}I", *bits)


def test_examples_of_the_forms():
    zeros = bytes.fromhex("01 0100 00 00")
    assert decode_form(2, zeros, 1, 600) == bytes(600)
    rotated = bytes.fromhex("01 0101 0100 00") + bytes.fromhex("f0f4f8fc") * 16
    assert decode_form(2, rotated, 1, 128) == struct.pack("<4H", 0x3C00, 0x3D00, 0x3E00, 0x3F00) * 16

    base = [0x3F800000 + 0x1000 * i for i in range(64)]
    plain = [b + 5 * (i % 8 == 0) - (i % 16 == 4) for i, b in enumerate(base)]
    delta = bytes.fromhex(
        "01 00 00000000 8700 0102" + "0100" * 8 + "0007 801a 00 8002 00000000 8004" + "0100" * 7
        + "02000000 126f5702 00071b00 00071b00 00071b00 4efc 001f ff")
    assert decode_form(3, delta, 3, 256, (3, floats(*base))) == floats(*plain)

    wide = floats(*[0x3F800000 + 0x18000 * i for i in range(8)])
    narrow = decode_form(4, bytes.fromhex("01 01000000 03 3412"), 1, 16, (3, wide))
    assert struct.unpack("<8H", narrow)[3] == 0x1234
    assert struct.unpack("<8H", narrow)[:3] == (0x3F80, 0x3F82, 0x3F83)


@pytest.mark.parametrize("element, name", [(1, "bfloat16"), (2, "float16"), (5, "float8_e4m3fn"), (6, "float8_e5m2")])
def test_rounding_is_that_of_ml_dtypes(element, name):
    dtype = getattr(pytest.importorskip("ml_dtypes"), name, np.float16)
    bits = np.random.default_rng(1).integers(0, 1 << 32, 100_000, dtype=np.uint64).astype(np.uint32)
    near = np.arange(256, dtype=np.uint8).view(pytest.importorskip("ml_dtypes").float8_e4m3fn).astype(np.float32)
    bits = np.concatenate([bits, near.view(np.uint32), np.float32([464, 463.9, 61440, 61439, 65520, 3e38]).view(np.uint32)])
    with np.errstate(all="ignore"):
        want = bits.view(np.float32).astype(dtype)
    number = ~np.isnan(bits.view(np.float32))
    got = round_f32(bits, element)
    assert (got[number] == want.view(got.dtype)[number]).all()


def test_forms_come_back(tmp_path):
    data = np.random.default_rng(2).normal(0, 0.02, 40_000).astype("<f4")
    later = (data.view("<u4") + np.random.default_rng(3).integers(0, 9, 40_000).astype("<u4")).astype("<u4")
    payload = make_golden.delta_form(later[:5000].tobytes(), data[:5000].tobytes())
    assert decode_form(3, payload, 3, 20_000, (3, data[:5000].tobytes())) == later[:5000].tobytes()
    packed = make_golden.exponent_form(data.tobytes() + b"abc", 4, 2)
    assert decode_form(2, packed, 3, 160_003) == data.tobytes() + b"abc"


def test_reads_what_the_program_saved_and_compacted(kilter, tmp_path):
    rng, weights = np.random.default_rng(4), None
    store, sources = tmp_path / "runs.kilter", []
    for step in range(3):
        master = rng.normal(0, 0.02, 60_000).astype("<f4") if weights is None else \
            weights + rng.normal(0, 1e-5, 60_000).astype("<f4")
        weights = master
        half = round_f32(master.view("<u4").astype(np.uint32), 1).tobytes()
        header = json.dumps({"h": {"dtype": "BF16", "shape": [60_000], "data_offsets": [0, 120_000]},
                             "m": {"dtype": "F32", "shape": [60_000], "data_offsets": [120_000, 360_000]}}).encode()
        header += b" " * (-len(header) % 8)
        source = tmp_path / f"checkpoint-{step}"
        source.mkdir()
        (source / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + half + master.tobytes())
        (source / "zeros.txt").write_bytes(b"0" * 50_000)
        kilter("save", source, store, status=0)
        sources.append(source)

    def check():
        reader = Store(store)
        commits = [digest for digest, _ in reader.history()]
        for digest, source in zip(commits, sources, strict=True):
            assert reader.files(digest) == {p.name: p.read_bytes() for p in source.iterdir()}
        for file in reader.index.values():
            for name, size, count in file.packs:
                assert reader.pack_path(name).stat().st_size == size
                assert len(reader.read_directory(name)) == count
        return {place.record.form for places in reader.places.values() for place in places}

    assert {1, 2} <= check()
    kilter("compact", store, status=0)
    assert {3, 4} <= check()  # deltas and casts too
