#!/usr/bin/env python3
"""What does saving cost a training run, and when is a step durable?

Four questions, each beside its alternative in the same run, each answer checked:

- How long does training stand still for a save, where a step lasts longer than the write, and where the
  optimizer wants to go on at once? Beside: DCP async_save; a memcpy of the same bytes by as many threads.
- How long until a step is durable? Beside: torch.save and fsync.
- How much slower does a small transformer train that saves every 10th step?
- How much memory does a save take above the state, with staging for a quarter of it?

With --figures FOLDER it draws what it measured (matplotlib).
"""

import argparse
import gc
import json
import logging
import os
import shutil
import statistics
import sys
import time
import warnings
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp

import harness

sys.path.insert(0, str(harness.ROOT / "build" / "python-package"))
import kilter  # noqa: E402

TENSOR_BYTES = 16 << 20
WORK = harness.WORK / "training"


class Weights(torch.nn.Module):
    """A state of so many bytes: float32 of a weight-like spread, a third of it weights."""

    def __init__(self, total_bytes):
        super().__init__()
        values = torch.randn(TENSOR_BYTES // 4) * 0.02
        count = max(3, total_bytes // TENSOR_BYTES)
        self.tensors = torch.nn.ParameterList(values + i * 1e-6 for i in range(count))

    def change(self, step):
        """What an optimizer would do: no two steps have the same bytes."""
        with torch.no_grad():
            for i, tensor in enumerate(self.tensors):
                tensor.add_(1e-7 * (step + 1) * (i + 1))

    def total_bytes(self):
        return sum(tensor.nbytes for tensor in self.tensors)


def fresh(name):
    path = WORK / name
    shutil.rmtree(path, ignore_errors=True)
    settle()
    return path


def settle():
    """What was removed is gone, what was written is written: no pair pays for the one before."""
    gc.collect()
    os.sync()
    time.sleep(1.0)


def median(values):
    return statistics.median(values)


def copy_seconds(weights, targets):
    begun = time.perf_counter()
    for source, target in zip(weights.tensors, targets):
        target.copy_(source.detach())
    return time.perf_counter() - begun


def kilter_save(saver, weights, optimizer, step, wait_first):
    """Seconds that training stood still, and until durable."""
    begun = time.perf_counter()
    ticket = saver.save(step, model=weights)
    pause = time.perf_counter() - begun
    while wait_first and not ticket.done:
        time.sleep(0.001)
    paused = time.perf_counter()
    saver.before_update()
    pause += time.perf_counter() - paused
    report = ticket.wait()
    return pause, report.seconds, report.staged_bytes


def check_step(address, step, weights):
    again = Weights(weights.total_bytes())
    assert kilter.Saver(address, rng=False).resume(model=again) == step
    for a, b in zip(weights.tensors, again.tensors):
        assert torch.equal(a, b), "what came back is not what was saved"


def measure_pause(total_bytes, runs):
    """Long and short steps beside DCP async_save and memcpy."""
    weights = Weights(total_bytes)
    optimizer = torch.optim.SGD(weights.parameters())
    targets = [torch.zeros_like(tensor) for tensor in weights.tensors]
    address = fresh("pause.kilter")
    saver = kilter.Saver(address, rng=False, staging_bytes_max=2 * total_bytes)
    saver.attach(optimizer)
    saver.prepare(model=weights)
    folder = fresh("dcp")
    out = {"long": [], "short": [], "memcpy": [], "dcp": [], "staged_bytes": []}
    for run in range(runs):
        weights.change(run)
        long_pause, _, _ = kilter_save(saver, weights, optimizer, 2 * run, True)
        settle()
        out["long"].append(long_pause)
        out["memcpy"].append(copy_seconds(weights, targets))
        weights.change(run)
        short_pause, _, staged = kilter_save(saver, weights, optimizer, 2 * run + 1, False)
        out["short"].append(short_pause)
        out["staged_bytes"].append(staged)
        settle()
        begun = time.perf_counter()
        saving = dcp.async_save({"model": weights.state_dict()}, checkpoint_id=folder / str(run))
        out["dcp"].append(time.perf_counter() - begun)
        saving.result()
        shutil.rmtree(folder / str(run))
        settle()
    check_step(address, 2 * runs - 1, weights)
    fresh("pause.kilter")
    fresh("dcp")
    return out


def torch_save(weights, path):
    begun = time.perf_counter()
    with open(path, "wb") as file:
        torch.save({"model": weights.state_dict()}, file)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    return time.perf_counter() - begun


def measure_durable(total_bytes, runs):
    """Wall time until durable; each pair on a disk that has come to rest."""
    weights = Weights(total_bytes)
    out = {"torch": [], "raw": [], "fast": [], "disk": []}
    for run in range(runs):
        weights.change(run)
        path = fresh("torch") / "model.pt"
        path.parent.mkdir(parents=True)
        out["torch"].append(torch_save(weights, path))
        fresh("torch").mkdir(parents=True)
        settle()
        out["disk"].append(harness.disk_write_seconds(WORK / "torch" / "disk", total_bytes))
        fresh("torch")
        for coding in ("raw", "fast"):
            address = fresh(f"{coding}.kilter")
            saver = kilter.Saver(address, rng=False, coding=coding, staging_bytes_max=2 * total_bytes)
            saver.attach(torch.optim.SGD(weights.parameters()))
            saver.prepare(model=weights)
            settle()
            out[coding].append(saver.save(run, model=weights).wait().seconds)
            del saver
            if run == 0:
                check_step(address, run, weights)
            fresh(f"{coding}.kilter")
    return out


class TinyTransformer(torch.nn.Module):
    """About 20 M parameters, a step of some tenths of a second on two cores."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(4096, 384)
        layer = torch.nn.TransformerEncoderLayer(384, 6, 1536, batch_first=True)
        self.layers = torch.nn.TransformerEncoder(layer, 6)
        self.out = torch.nn.Linear(384, 4096)

    def forward(self, tokens):
        return self.out(self.layers(self.embed(tokens)))


def measure_slowdown(steps):
    """Blocks of ten steps in turn with and without a save; the time of every step."""
    torch.manual_seed(1)
    model = TinyTransformer()
    optimizer = torch.optim.AdamW(model.parameters())
    saver = kilter.Saver(fresh("loop.kilter"), keep=2)
    saver.attach(optimizer)
    times, saved, processor = [], [], []

    def train_step():
        tokens = torch.randint(0, 4096, (4, 128))
        loss = torch.nn.functional.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach())

    for _ in range(3):
        train_step()  # warm
    saver.prepare(model=model, optimizer=optimizer)
    for step in range(steps):
        begun, processor_begun = time.perf_counter(), time.process_time()
        loss = train_step()
        saving = step % 20 == 0
        if saving:
            saver.save(step, model=model, optimizer=optimizer, loss=loss)
        times.append(time.perf_counter() - begun)
        processor.append(time.process_time() - processor_begun)
        saved.append(saving)
    saver.wait()
    fresh("loop.kilter")
    blocks, work = ([values[i:i + 10] for i in range(0, steps - steps % 20, 10)] for values in (times, processor))
    return {"times": times, "saved": saved, "with": blocks[0::2], "without": blocks[1::2],
            "work_with": work[0::2], "work_without": work[1::2],
            "state_bytes": sum(p.nbytes for p in model.parameters()) * 3}


def slowdown(loop, of=median, kind=""):
    """Of ten steps: each by its median over all blocks, so that one disturbed step does not count. `of`=min: in
    the best case, which a busy neighbour cannot change much; `kind`="work_": in processor seconds."""
    with_save, without = (sum(of(column) for column in zip(*loop[kind + key])) for key in ("with", "without"))
    return with_save / without - 1


def resident_peak(reset=False):
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def measure_memory(total_bytes):
    """Peak above the state while it is saved and training goes on at once; staging a quarter."""
    weights = Weights(total_bytes)
    optimizer = torch.optim.SGD(weights.parameters())
    gc.collect()
    before = resident_peak(reset=True)
    saver = kilter.Saver(fresh("memory.kilter"), rng=False, staging_bytes_max=total_bytes // 4)
    saver.attach(optimizer)
    kilter_save(saver, weights, optimizer, 1, False)
    ours = resident_peak() - before
    check_step(WORK / "memory.kilter", 1, weights)
    fresh("memory.kilter")
    before = resident_peak(reset=True)
    dcp.async_save({"model": weights.state_dict()}, checkpoint_id=fresh("dcp")).result()
    theirs = resident_peak() - before
    fresh("dcp")
    return {"kilter_bytes": ours, "dcp_bytes": theirs, "state_bytes": total_bytes}


def draw(results, folder):
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False,
                         "svg.hashsalt": "kilter"})
    pause = results["pause"]
    names = ["Kilter,\nlong step", "memcpy", "Kilter,\nno time at all", "DCP\nasync_save"]
    values = [median(pause[key]) * 1000 for key in ("long", "memcpy", "short", "dcp")]
    figure, axes = plt.subplots(figsize=(6, 3))
    axes.bar(names, values, color=["#2a7", "#999", "#2a7", "#c63"])
    axes.set_yscale("log")
    axes.set_ylabel("pause, ms")
    for x, value in enumerate(values):
        axes.text(x, value, f"{value:.1f}", ha="center", va="bottom")
    figure.tight_layout()
    figure.savefig(folder / "pause.svg", metadata={"Date": None})

    durable = results["durable"]
    gib = results["bytes"] / 1e9
    figure, axes = plt.subplots(figsize=(6, 3))
    values = [gib / median(durable[key]) for key in ("torch", "raw", "fast")]
    axes.bar(["torch.save + fsync", "Kilter", "Kilter, coding=\"fast\""], values, color=["#c63", "#2a7", "#2a7"])
    axes.set_ylabel("durable, GB/s")
    for x, value in enumerate(values):
        axes.text(x, value, f"{value:.2f}", ha="center", va="bottom")
    figure.tight_layout()
    figure.savefig(folder / "durable.svg", metadata={"Date": None})

    loop = results["loop"]
    figure, (axes, profile) = plt.subplots(1, 2, figsize=(9, 3), sharey=True, width_ratios=(2, 1))
    steps = range(len(loop["times"]))
    axes.plot(steps, [t * 1000 for t in loop["times"]], color="#999", linewidth=0.8)
    marked = [i for i in steps if loop["saved"][i]]
    axes.plot(marked, [loop["times"][i] * 1000 for i in marked], "o", color="#2a7", label="a save begins")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("step")
    axes.set_ylabel("time of the step, ms")
    axes.legend(frameon=False)
    for key, color, label in (("without", "#999", "no save"), ("with", "#2a7", "a save begins at 0")):
        profile.plot(range(10), [1000 * median(column) for column in zip(*loop[key])], "o-", color=color, label=label)
    profile.set_xlabel("step of ten, median")
    profile.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(folder / "jitter.svg", metadata={"Date": None})


def run(size_gib, runs, figures=None):
    logging.getLogger("torch.distributed").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    WORK.mkdir(parents=True, exist_ok=True)
    total_bytes = int(size_gib * (1 << 30))
    results = {"bytes": total_bytes}
    if not dist.is_initialized():
        dist.init_process_group("gloo", init_method=f"file://{fresh('rendezvous')}", rank=0, world_size=1)
    pause = results["pause"] = measure_pause(total_bytes, runs)
    long, short, memcpy, dcp_pause = (median(pause[k]) for k in ("long", "short", "memcpy", "dcp"))
    print(f"pause, step longer than the write: {long * 1e3:.1f} ms; DCP async_save {dcp_pause * 1e3:.0f} ms "
          f"(first {pause['dcp'][0] * 1e3:.0f}): {dcp_pause / long:.0f}x less; first {pause['long'][0] * 1e3:.1f} ms")
    print(f"pause, optimizer goes on at once:  {short * 1e3:.0f} ms for {median(pause['staged_bytes']) / 2**30:.2f} GiB; "
          f"memcpy of the state {memcpy * 1e3:.0f} ms: {short / memcpy:.2f}x")
    durable = results["durable"] = measure_durable(total_bytes, runs)
    theirs = median(durable["torch"])
    for coding in ("raw", "fast"):
        ours = median(durable[coding])
        print(f"durable, {coding:4}: {ours:.2f} s ({total_bytes / 1e9 / ours:.2f} GB/s); torch.save + fsync "
              f"{theirs:.2f} s: {theirs / ours:.1f}x")
    disk = median(durable["disk"])
    print(f"the disk alone, direct writes and fsync: {disk:.2f} s ({total_bytes / 1e9 / disk:.2f} GB/s): nobody who writes "
          f"every byte is durable sooner; {theirs / disk:.1f}x")
    loop = results["loop"] = measure_slowdown(600)
    print(f"training, saving every 10th step: {100 * slowdown(loop):+.1f} % ({len(loop['with'])} pairs of ten steps), "
          f"state {loop['state_bytes'] / 2**20:.0f} MiB, step {1e3 * median(loop['times']):.0f} ms; each step at its "
          f"fastest {100 * slowdown(loop, min):+.1f} %; processor time {100 * slowdown(loop, kind='work_'):+.1f} %")
    memory = results["memory"] = measure_memory(total_bytes)
    print(f"memory above the state: {100 * memory['kilter_bytes'] / total_bytes:.0f} % with staging for 25 %; "
          f"DCP async_save {100 * memory['dcp_bytes'] / total_bytes:.0f} %")
    (WORK / "results.json").write_text(json.dumps(results, indent=1))
    if figures:
        draw(results, figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=float, default=2.0, help="GiB of the state")
    parser.add_argument("--runs", type=int, default=3, help="pairs of runs")
    parser.add_argument("--figures", type=Path, help="folder for the plots")
    arguments = parser.parse_args()
    print(harness.machine_line())
    run(arguments.size, arguments.runs, arguments.figures)
