"""How fast does a 2 GiB checkpoint get into a model's own parameters, from Python?

kilter.torch.load_into against safetensors (load_file, then copied into the parameters as
load_state_dict does) and torch.load(mmap=True) the same way. Each reader runs in a process of its
own, with parameters that are there already, and times from opening to the last parameter; imports
are not counted. "memory" copies parameters that lie in memory already: nobody loads sooner. Kilter's
figures are verified: CRC-32 of the torch file, BLAKE3 of the store;
safetensors files have nothing to verify by.
"""

import os
import shutil
import subprocess
import sys

from harness import ROOT, WORK, drop_cache, load_json, measured, median, ratio, report, warm_cache
import make_inputs

PRELUDE = """
import json, sys, time
import torch
from safetensors import safe_open
from safetensors.torch import load_file
model = {}
with safe_open(sys.argv[1], "pt") as file:
    for name in file.keys():
        tensor = file.get_slice(name)
        dtype = {"BF16": torch.bfloat16, "F32": torch.float32, "F16": torch.float16}[tensor.get_dtype()]
        model[name] = torch.zeros(tensor.get_shape(), dtype=dtype)
        model[name].add_(1)  # as a model's parameters are: touched
address = sys.argv[2]
"""
COPY = """
with torch.no_grad():
    for name, parameter in model.items():
        parameter.copy_(state[name])
"""
READERS = {
    "memory": "state = load_file(address)\nstate = {k: v.clone() for k, v in state.items()}\n"
              "start = time.perf_counter()" + COPY,
    "safetensors": "start = time.perf_counter()\nstate = load_file(address)" + COPY,
    "torch mmap": "start = time.perf_counter()\n"
                  "state = torch.load(address, mmap=True, weights_only=True)" + COPY,
    "kilter safetensors": "import kilter.torch\nstart = time.perf_counter()\n"
                          "kilter.torch.load_into(model, address)",
    "kilter torch file": "import kilter.torch\nstart = time.perf_counter()\n"
                         "kilter.torch.load_into(model, address)",
    "kilter store": "import kilter.torch\nstart = time.perf_counter()\n"
                    "kilter.torch.load_into(model, address)",
}
POSTLUDE = """
seconds = time.perf_counter() - start
total, count = 0, 0
for name in sorted(model):
    words = model[name].flatten().view(torch.int64)
    total = (total * 31 + int(words.sum())) % (1 << 64)
    count += words.numel() * 8
print(json.dumps({"seconds": seconds, "bytes": count, "sum": total}))
"""


def make_store(file):
    """The same tensors as one step of a training run in a store."""
    store = WORK / "python_load.kilter"
    shutil.rmtree(store, ignore_errors=True)
    program = ("import sys, kilter, kilter.torch\n"
               "kilter.Saver(sys.argv[2], rng=False).save(1, model=kilter.torch.load(sys.argv[1])).wait()")
    subprocess.run([sys.executable, "-c", program, file, store], check=True)
    return store


def files_of(path):
    if os.path.isfile(path):
        return [path]
    return [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]


def run(gib, runs):
    os.environ["PYTHONPATH"] = str(ROOT / "build" / "python-package")
    safetensors_file = make_inputs.safetensors_checkpoint(gib)
    torch_file = make_inputs.torch_checkpoint(gib)
    store = make_store(safetensors_file)
    places = {"memory": safetensors_file, "safetensors": safetensors_file, "torch mmap": torch_file,
              "kilter safetensors": safetensors_file, "kilter torch file": torch_file,
              "kilter store": store}
    for state, prepare, bar in (("cold", drop_cache, ">=1.0x"), ("warm", warm_cache, ">=1.5x")):
        results = {name: [] for name in READERS}
        for _ in range(runs):
            for name, code in READERS.items():
                for path in files_of(places[name]):
                    prepare(path)
                address = f"{store}@main/model.safetensors" if name == "kilter store" else places[name]
                command = [sys.executable, "-c", PRELUDE + code + POSTLUDE, safetensors_file, address]
                results[name].append(load_json(measured(command)["output"]))
        answers = {(r["sum"], r["bytes"]) for rows in results.values() for r in rows}
        if len(answers) != 1:
            sys.exit(f"python_load_bench: the readers disagree: {answers}")
        summarize(gib, state, bar, results)
    shutil.rmtree(store)


def summarize(gib, state, bar, results):
    seconds = {name: [row["seconds"] for row in rows] for name, rows in results.items()}
    others = ("safetensors", "torch mmap") if state == "cold" else ("safetensors",)
    best = min(others, key=lambda name: median(seconds[name]))
    detail = ", ".join(f"{name} {gib * 1.073741824 / median(times):.2f} GB/s"
                       for name, times in seconds.items() if not name.startswith("kilter"))
    for name, times in seconds.items():
        if name.startswith("kilter"):
            report(f"load into a model from Python, {name[7:]}, {gib} GiB, {state}",
                   f"{ratio(seconds[best], times):.2f}x", bar,
                   f"{gib * 1.073741824 / median(times):.2f} GB/s; {detail}; best other: {best}")


if __name__ == "__main__":
    run(float(sys.argv[1]) if len(sys.argv) > 1 else 2.0, int(sys.argv[2]) if len(sys.argv) > 2 else 5)
