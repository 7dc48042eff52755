"""Writes the golden deltas of this folder: `python make_golden.py`. Standard library alone, from spec/delta.md;
raw blocks and blocks that are the base's need no compressor. BLAKE3 of short inputs is below, from its paper."""

import json
import struct
from pathlib import Path

HERE = Path(__file__).resolve().parent
IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
START, END, ROOT = 1, 2, 8


def rotated(x, n):
    return (x >> n | x << (32 - n)) & 0xFFFFFFFF


def compressed(chain, block, flags):
    words = list(struct.unpack("<16I", block.ljust(64, b"\0")))
    v = [*chain, *IV[:4], 0, 0, len(block), flags]
    for _ in range(7):
        for n, (a, b, c, d) in enumerate(((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                                          (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))):
            for word, first, second in ((words[2 * n], 16, 12), (words[2 * n + 1], 8, 7)):
                v[a] = (v[a] + v[b] + word) & 0xFFFFFFFF
                v[d] = rotated(v[d] ^ v[a], first)
                v[c] = (v[c] + v[d]) & 0xFFFFFFFF
                v[b] = rotated(v[b] ^ v[c], second)
        words = [words[i] for i in ORDER]
    return [v[i] ^ v[i + 8] for i in range(8)]


def blake3(data):
    assert len(data) <= 1024, "one chunk"
    blocks = [data[at:at + 64] for at in range(0, len(data), 64)] or [b""]
    chain = IV
    for i, block in enumerate(blocks):
        chain = compressed(chain, block, START * (i == 0) | (END | ROOT) * (i == len(blocks) - 1))
    return struct.pack("<8I", *chain)


def content(tensors):
    out = b"kilter content 1\n"
    for name, (dtype, shape, data) in sorted(tensors.items(), key=lambda row: row[0].encode()):
        for text in (name, dtype):
            out += struct.pack("<Q", len(text.encode())) + text.encode()
        out += struct.pack(f"<{1 + len(shape)}Q", len(shape), *shape) + blake3(data)
    return blake3(out).hex()


def safetensors(tensors, metadata):
    names = {"bf16": "BF16", "f32": "F32", "u8": "U8"}
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, (dtype, shape, its) in tensors.items():
        header[name] = {"dtype": names[dtype], "shape": shape, "data_offsets": [len(data), len(data) + len(its)]}
        data += its
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def coded(*blocks):
    return b"".join(struct.pack("<I", form << 28 | len(data)) for form, data in blocks) + b"".join(
        data for _, data in blocks)


BASE = {"w": ("bf16", [4], bytes.fromhex("803f004040408040")), "n": ("f32", [1], bytes.fromhex("0000803f")),
        "gone": ("f32", [1], b"\0\0\0\0")}
TUNED = {"w": ("bf16", [4], bytes.fromhex("803f00404040a040")), "n": BASE["n"], "new": ("f32", [2], b"\1\2\3\4\5\6\7\xff")}
MANIFEST = {"base": "base.safetensors",
            "tensors": [{"name": "w", "dtype": "bf16", "shape": [4]},
                        {"name": "n", "dtype": "f32", "shape": [1], "same": True},
                        {"name": "new", "dtype": "f32", "shape": [2]}],
            "removed": ["gone"], "metadata": {"format": "pt"}, "files": []}
PAYLOADS = {"tensor/w": coded((0, TUNED["w"][2])), "tensor/new": coded((0, TUNED["new"][2]))}


def delta(manifest=None, payloads=None, result=None, **metadata):
    text = json.dumps({**MANIFEST, **(manifest or {})}).encode()
    tensors = {"manifest": ("u8", [len(text)], text)}
    for name, data in {**PAYLOADS, **(payloads or {})}.items():
        if data is not None:
            tensors[name] = ("u8", [len(data)], data)
    return safetensors(tensors, {"kilter.delta": "1", "kilter.delta.base": content(BASE),
                                 "kilter.delta.result": content(result or TUNED), **metadata})


def rows(*changes):
    return {"tensors": [{**row, **change} for row, change in zip(MANIFEST["tensors"], changes)]}


RIGHT = {
    "example": (delta(), TUNED),
    "block-of-base": (delta(payloads={"tensor/w": coded((15, b""))}, result={**TUNED, "w": BASE["w"]}),
                      {**TUNED, "w": BASE["w"]}),
    "with-file": (delta({"files": [{"path": "config.json", "bytes": 3}]}, {"file/config.json": coded((0, b"{}\n"))}),
                  TUNED),
}
WRONG = {
    "version": (delta(**{"kilter.delta": "2"}), "version"),
    "missing-payload": (delta(payloads={"tensor/w": None}), "this tensor is missing"),
    "unlisted": (delta(payloads={"tensor/other": coded((0, b"x"))}), "does not list this"),
    "same-of-none": (delta(rows({}, {"name": "m"}, {})), "what the base does not have"),
    "same-of-other-shape": (delta(rows({}, {"shape": [1, 1]}, {})), "what the base does not have"),
    "cut-directory": (delta(payloads={"tensor/w": b"\x08\0"}), "directory is cut off"),
    "left-over": (delta(payloads={"tensor/w": PAYLOADS["tensor/w"] + b"x"}), "do not add up"),
    "too-long": (delta(payloads={"tensor/w": coded((0, bytes(9)))}), "larger than its plain bytes"),
    "too-short": (delta(payloads={"tensor/w": coded((0, bytes(7)))}), "has not the bytes"),
    "unknown-form": (delta(payloads={"tensor/w": coded((9, bytes(8)))}), "no form 9"),
    "window-of-none": (delta(payloads={"tensor/new": coded((15, b""))}), "the base does not have"),
    "cast-of-equal": (delta(payloads={"tensor/w": coded((4, bytes(5)))}), "the base does not have"),
    "huge": (delta(rows({"shape": [2**40, 2**40]}, {}, {})), "too large"),
    "path-leads-out": (delta({"files": [{"path": "../x", "bytes": 0}]}, {"file/../x": b""}), "../x"),
    "other-result": (delta(result=BASE), "what it makes is not its result"),
}

if __name__ == "__main__":
    (HERE / "base.safetensors").write_bytes(safetensors(BASE, {}))
    expected = {"right": {}, "wrong": {name: said for name, (_, said) in WRONG.items()}}
    for name, (data, tensors) in RIGHT.items():
        (HERE / f"{name}.safetensors").write_bytes(data)
        expected["right"][name] = {key: value[2].hex() for key, value in tensors.items()}
    for name, (data, _) in WRONG.items():
        (HERE / f"{name}.safetensors").write_bytes(data)
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
