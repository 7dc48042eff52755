"""How fast does a 2 GiB checkpoint come into memory, against safetensors and torch's mmap?

Each reader runs in a process of its own and times its own loading: from opening to having every
tensor, then (apart) until every byte was read once. Imports are not counted.
"""

import sys

from harness import ROOT, drop_cache, load_json, measured, median, ratio, report, warm_cache
import make_inputs

PRELUDE = """
import json, sys, time
import torch
torch.set_num_threads(1)  # the sum afterwards is no part of loading: one thread on every side
from safetensors.torch import load_file
from safetensors import safe_open
torch.zeros(1)
start = time.perf_counter()
"""
POSTLUDE = """
loaded = time.perf_counter()
total, count = 0, 0
for tensor in state.values():
    words = tensor.flatten().view(torch.int64)
    total = (total + int(words.sum())) % (1 << 64)
    count += tensor.numel() * tensor.element_size()
print(json.dumps({"load_seconds": loaded - start, "touch_seconds": time.perf_counter() - loaded,
                  "bytes": count, "sum": total}))
"""
READERS = {
    "safetensors load_file": "state = load_file(sys.argv[1])",
    "torch.load mmap": "state = torch.load(sys.argv[2], mmap=True, weights_only=True)",
}


def run(gib, runs):
    torch_file = make_inputs.torch_checkpoint(gib)
    file = make_inputs.safetensors_checkpoint(gib)
    program = ROOT / "build" / "release" / "bench" / "load_bench"
    commands = {"kilter": [program, file]}
    for name, code in READERS.items():
        commands[name] = [sys.executable, "-c", PRELUDE + code + POSTLUDE, file, torch_file]
    for state, prepare, bar in (("cold", drop_cache, ">=1.0x"), ("warm", warm_cache, ">=1.5x")):
        results = {name: [] for name in commands}
        for _ in range(runs):
            for name, command in commands.items():
                prepare(file)
                prepare(torch_file)
                results[name].append(load_json(measured(command)["output"]))
        sums = {(r["sum"], r["bytes"]) for rows in results.values() for r in rows}
        if len(sums) != 1:
            sys.exit(f"load_bench: the readers disagree: {sums}")
        summarize(gib, state, bar, results)


def summarize(gib, state, bar, results):
    def seconds(name, touched):
        return [r["load_seconds"] + (r["touch_seconds"] if touched else 0) for r in results[name]]

    modes = sorted({r["mode"] for r in results["kilter"]})
    # A cold file that was only mapped is not in memory yet: there every byte counts.
    for touched in ((True,) if state == "cold" else (False, True)):
        best = min(READERS, key=lambda name: median(seconds(name, touched)))
        detail = ", ".join(f"{n} {gib * 1.073741824 / median(seconds(n, touched)):.2f} GB/s" for n in results)
        what = "load, then read every byte" if touched else f"load ({'/'.join(modes)})"
        report(f"{what}, {gib} GiB, {state}", f"{ratio(seconds(best, touched), seconds('kilter', touched)):.2f}x",
               bar, f"{detail}; best other: {best}")


if __name__ == "__main__":
    run(float(sys.argv[1]) if len(sys.argv) > 1 else 2.0, 5)
