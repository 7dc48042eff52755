#!/usr/bin/env python3
"""Does a merge stay within 512 MiB whatever the models' size, and does its time grow in line with it?

Sparse files stand for the inputs: models of 7.5, 15 and 30 GB (GIGABYTES as arguments choose others) that take no room.
The output is a real file, durable, so its size must be free on the disk. No alternative is run: one that holds an output
shard, or every model's tensors, in memory has no place here.
"""

import json
import os
import struct
import sys

from harness import KILTER, WORK, measured

FOLDER = WORK / "large"
LIMIT = 512 << 20
LAYER = {"q_proj": (4096, 4096), "k_proj": (1024, 4096), "o_proj": (4096, 4096), "gate_proj": (14336, 4096),
         "down_proj": (4096, 14336)}


def make_sparse(path, gigabytes):
    """A safetensors file of Llama-shaped bf16 layers: a header, and a hole where the numbers would be."""
    header, offset, layer = {}, 0, 0
    while offset < gigabytes * 1e9:
        for name, shape in LAYER.items():
            end = offset + 2 * shape[0] * shape[1]
            header[f"model.layers.{layer}.{name}.weight"] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, end]}
            offset = end
        layer += 1
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + offset)
    return offset


def check(path, written):
    """Zeros blended are zeros, and all of them are there; a few places are looked at."""
    with open(path, "rb") as file:
        header = 8 + struct.unpack("<Q", file.read(8))[0]
        if path.stat().st_size != header + written:
            sys.exit("large_merge_bench: the output has not the size it must have")
        for place in range(9):
            file.seek(header + (written - (1 << 20)) * place // 8)
            if any(file.read(1 << 20)):
                sys.exit("large_merge_bench: the output is not what it must be")


def run(sizes=(7.5, 15, 30)):
    FOLDER.mkdir(parents=True, exist_ok=True)
    rates = []
    print("merge --weighted of two models, limit of memory 512 MiB")
    print("| output | seconds | GB/s | peak memory |\n|---|---|---|---|")
    for size in sizes:
        paths = [FOLDER / name for name in ("a.safetensors", "b.safetensors", "out.safetensors")]
        written = make_sparse(paths[0], size)
        make_sparse(paths[1], size)
        free = os.statvfs(FOLDER)
        if free.f_bavail * free.f_frsize < written + (1 << 30):
            print(f"| {written / 1e9:.1f} GB | not run: the disk has too little room | | |")
            continue
        took = measured([KILTER, "merge", "--a", paths[0], "--b", paths[1], "--weighted", "0.3", paths[2], "--force",
                         "--quiet"])
        seconds, peak = took["seconds"], took["rss_bytes"]
        check(paths[2], written)
        if peak > LIMIT:
            sys.exit(f"large_merge_bench: {peak >> 20} MiB is more than the budget")
        rates.append(written / seconds)
        print(f"| {written / 1e9:.1f} GB | {seconds:.1f} | {written / seconds / 1e9:.2f} | {peak / 2**20:.0f} MiB |", flush=True)
        for path in paths:
            path.unlink()
    if len(rates) > 1:
        print(f"rate at the largest / at the smallest size: {rates[-1] / rates[0]:.2f}\n")


if __name__ == "__main__":
    run([float(size) for size in sys.argv[1:]] or (7.5, 15, 30))
