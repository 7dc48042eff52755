"""A store against saving and copying files: speed, ratio, memory.

The series (a real fine-tune, 9 checkpoints) is taken from KILTER_SERIES, a folder of step-N folders;
without it those lines are left out.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy

from harness import KILTER, WORK, drop_cache, measured, median, mib, paired, ratio, report, warm_cache

PYTHON = sys.executable
TORCH_SAVE = """
import os, sys, torch
from safetensors.torch import load_file
import time
state = {k: v.clone() for k, v in load_file(sys.argv[1]).items()}
begin = time.perf_counter()
torch.save(state, sys.argv[2])
with open(sys.argv[2], "rb+") as f: os.fsync(f.fileno())
print(time.perf_counter() - begin)
"""


def check(condition, what):
    if not condition:
        sys.exit(f"store_bench: wrong answer: {what}")


def write_model(path, gib, changed=None, only=range(40), seed=1000):
    """Forty bf16 tensors of weight-like values, or some of them; `changed` names one to be drawn anew."""
    header, offset = {}, 0
    count = int(gib * (1 << 30) / 2 / 40)
    for i in only:
        header[f"layer.{i}.weight"] = {"dtype": "BF16", "shape": [count], "data_offsets": [offset, offset + 2 * count]}
        offset += 2 * count
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for i in only:
            random = numpy.random.default_rng(seed if i == changed else i)
            values = (random.standard_normal(count, dtype=numpy.float32) * 0.02).view(numpy.uint32)
            out.write((values >> 16).astype(numpy.uint16).tobytes())


def fresh(path):
    if path.is_dir():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()
    return path


def save_speed(model, gib, runs):
    store, other = WORK / "bench.kilter", WORK / "torch.pt"

    def ours():
        fresh(store)
        return measured([KILTER, "save", "--quiet", model, store])

    def fast():
        fresh(store)
        return measured([KILTER, "save", "--quiet", "--fast", model, store])

    def theirs():
        fresh(other)
        return float(measured([PYTHON, "-c", TORCH_SAVE, model, other])["output"])

    warm_cache(model)
    seconds = []
    for how, program in (("--fast", fast), ("compressed", ours)):
        mine, others = paired(program, theirs, runs)
        seconds = [row["seconds"] for row in mine]
        stored = sum(p.stat().st_size for p in store.rglob("*.pack"))
        report(f"save {gib:g} GiB of new bf16 into a store, durable, {how}",
               f"{ratio(others, seconds):.1f}x torch.save", ">=4x",
               f"{gib * 1.0737 / median(seconds):.2f} against {gib * 1.0737 / median(others):.2f} GB/s, "
               f"{mib(stored)} stored, peak {mib(median([r['rss_bytes'] for r in mine]))} (bar 512 MiB)")
    return store, median(seconds)


def one_new_tensor(gib, source, store):
    again = measured([KILTER, "save", "--json", source, store])
    check(json.loads(again["output"])["saved"][0]["new_bytes"] < gib * (1 << 30) / 30, "one tensor of forty is new")
    return again["seconds"]


def save_again(store, model, gib, first):
    write_model(model, gib, changed=7)
    warm_cache(model)
    again = one_new_tensor(gib, model, store)
    report("save it again, one tensor of forty changed: one file", f"{first / again:.1f}x", ">=20x",
           f"{again:.2f} s against {first:.2f} s: the file is new, and is read and hashed")


def save_shards_again(gib, runs):
    """The same in forty files, of which one is new: what has not changed is not read again."""
    store, folder = WORK / "shards.kilter", fresh(WORK / "shards")
    folder.mkdir()
    for i in range(40):
        write_model(folder / f"model-{i + 1:05}-of-00040.safetensors", gib, only=[i])
    time.sleep(2.5)  # files written a moment before a save are read again by the next one
    first, again = [], []
    for run in range(runs):
        fresh(store)
        first.append(measured([KILTER, "save", "--quiet", folder, store])["seconds"])
        path = folder / "model-00008-of-00040.safetensors"
        write_model(path, gib, only=[7], changed=7, seed=1000 + run)
        warm_cache(path)
        again.append(one_new_tensor(gib, folder, store))
        time.sleep(2.5)
    report("save it again, one tensor of forty changed: forty files", f"{ratio(first, again):.1f}x", ">=20x",
           f"{median(again):.3f} s against {median(first):.2f} s")
    for path in (store, folder):
        fresh(path)


def restore_speed(store, model, gib, runs):
    target, copy = WORK / "restored.safetensors", WORK / "copied.safetensors"

    def ours():
        fresh(target)
        return measured([KILTER, "restore", "--quiet", f"{store}@main", target])

    def theirs():
        fresh(copy)
        return measured(["sh", "-c", f"cp '{model}' '{copy}' && sync '{copy}'"])

    def cold():
        for path in [model, *store.rglob("*.pack")]:
            drop_cache(path)

    mine, others = paired(ours, theirs, runs, cold)
    check(subprocess.run(["cmp", target, model]).returncode == 0, "restored bytes")
    seconds = [row["seconds"] for row in mine]
    report(f"restore {gib:g} GiB, cold cache, verified", f"{ratio([r['seconds'] for r in others], seconds):.2f}x cp",
           ">=1.0x", f"{gib * 1.0737 / median(seconds):.2f} GB/s, peak {mib(median([r['rss_bytes'] for r in mine]))}")
    for path in (target, copy):
        fresh(path)


def many_commits(runs):
    store, series = WORK / "many.kilter", WORK / "many"
    if not (store / "refs").exists() or len(json.loads(
            measured([KILTER, "log", "--json", store])["output"])["commits"]) != 10_000:
        fresh(store)
        fresh(series)
        tensor = numpy.zeros(2048, dtype=numpy.float32)
        for step in range(10_000):
            folder = series / f"checkpoint-{step}"
            folder.mkdir(parents=True)
            tensor[:4] = step
            text = b'{"a":{"dtype":"F32","shape":[2048],"data_offsets":[0,8192]}}    '
            (folder / "m.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + tensor.tobytes())
            (folder / "trainer_state.json").write_text(json.dumps({"global_step": step, "loss": 1 + 1 / (step + 1)}))
        subprocess.run([KILTER, "save", "--quiet", "--series", f"{series}/checkpoint-*", store], check=True)
        fresh(series)
    rows = [measured([KILTER, "log", store]) for _ in range(runs)]
    check(rows[0]["output"].count(b"\n") == 10_001, "10,000 lines of log")
    report("log of 10,000 commits", f"{median([r['seconds'] for r in rows]) * 1e3:.1f} ms", "<=50 ms",
           mib(median([r["rss_bytes"] for r in rows])))
    rows = [measured([KILTER, "cat", f"{store}@step:5000", "--tensor", "a"]) for _ in range(runs)]
    check(numpy.frombuffer(rows[0]["output"], numpy.float32)[0] == 5000, "the tensor of step 5000")
    report("one tensor of one step among 10,000", f"{median([r['seconds'] for r in rows]) * 1e3:.1f} ms", "<=20 ms",
           mib(median([r["rss_bytes"] for r in rows])))


def series_ratio():
    series = os.environ.get("KILTER_SERIES")
    if not series:
        print("series of a real fine-tune: left out (KILTER_SERIES names no folder)")
        return
    store = fresh(WORK / "series.kilter")
    files = sum(p.stat().st_size for p in Path(series).rglob("*") if p.is_file())
    saved = measured([KILTER, "save", "--quiet", "--series", f"{series}/step-*", store])
    compacted = measured([KILTER, "compact", "--quiet", store])
    stored = sum(p.stat().st_size for p in store.rglob("*") if p.is_file())
    target = fresh(WORK / "restored")
    newest = max(Path(series).glob("step-*"), key=lambda p: int(p.name[5:]))
    restored = measured([KILTER, "restore", "--quiet", f"{store}@main", target])
    check(subprocess.run(["diff", "-r", target, newest]).returncode == 0, "the newest step")
    report("series of a real fine-tune after compact", f"{files / stored:.2f}x", ">=3.0x",
           f"saved in {saved['seconds']:.1f} s, compacted in {compacted['seconds']:.1f} s (peak "
           f"{mib(compacted['rss_bytes'])}), the deepest step restored in {restored['seconds']:.2f} s")
    fresh(target)
    fresh(store)


def run(gib, runs):
    model = WORK / "model40.safetensors"
    write_model(model, gib)
    store, first = save_speed(model, gib, runs)
    restore_speed(store, model, gib, runs)
    save_again(store, model, gib, first)
    save_shards_again(gib, runs)
    many_commits(max(runs, 7))
    series_ratio()
    for path in (store, model, WORK / "torch.pt"):
        fresh(path)


if __name__ == "__main__":
    WORK.mkdir(parents=True, exist_ok=True)
    run(2.0, 3)
