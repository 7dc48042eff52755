"""How fast does a checkpoint of 4 ranks come into 2 ranks, against torch.distributed.checkpoint.load?

Both sides: two processes at once, each fills its half of every tensor, in memory that is there and
touched before. torch's own time is from dcp.load's call to its return on the slowest rank, imports,
process group and empty tensors not counted; Kilter's is from opening the folder.
"""

import json
import os
import shutil
import sys

from harness import ROOT, WORK, drop_cache, load_json, measured, median, paired, ratio, report, warm_cache

sys.path.insert(0, str(ROOT / "tests" / "dcp"))

ROWS, LARGE = 4096, 4096 * 4096 * 4


def shapes(gib):
    """Large matrices, each with the small tensors of a layer."""
    out = {}
    for i in range(max(1, round(gib * (1 << 30) / LARGE))):
        out[f"layers.{i}.weight"] = (ROWS, ROWS)
        out |= {f"layers.{i}.{name}": (ROWS,) for name in ("bias", "norm.weight", "norm.bias")}
    return out


def save(rank, count, folder, gib):
    import ranks
    import torch
    import torch.distributed.checkpoint as dcp
    from torch.distributed.tensor import DTensor, Shard

    mesh = ranks.init_device_mesh("cpu", (count,))
    torch.manual_seed(rank)
    state = {}
    for name, shape in shapes(gib).items():
        local = torch.rand((shape[0] // count, *shape[1:]))
        state[name] = DTensor.from_local(local, mesh, [Shard(0)], run_check=False)
    dcp.save(state, checkpoint_id=folder)


def load(rank, count, folder, gib, answer):
    import time

    import ranks
    import torch
    import torch.distributed as dist
    import torch.distributed.checkpoint as dcp
    from torch.distributed.tensor import DTensor, Shard

    mesh = ranks.init_device_mesh("cpu", (count,))
    state = {name: DTensor.from_local(torch.ones((shape[0] // count, *shape[1:])), mesh, [Shard(0)],
                                      run_check=False) for name, shape in shapes(gib).items()}
    dist.barrier()
    start = time.perf_counter()
    dcp.load(state, checkpoint_id=folder)
    seconds = time.perf_counter() - start
    total, bytes_ = 0, 0
    for tensor in state.values():
        words = tensor.to_local().flatten().view(torch.int64)
        total += int(words.sum()) % (1 << 64)
        bytes_ += words.numel() * 8
    rows = [None] * count
    dist.all_gather_object(rows, (seconds, bytes_, total))
    if rank == 0:
        answer.write_text(json.dumps({"load_seconds": max(r[0] for r in rows),
                                      "bytes": sum(r[1] for r in rows),
                                      "sum": sum(r[2] for r in rows) % (1 << 64)}))


def run(gib, runs):
    import ranks

    folder, answer = WORK / f"dcp-{gib}-by-4", WORK / "dcp-answer.json"
    if not (folder / ".metadata").exists():
        shutil.rmtree(folder, ignore_errors=True)
        ranks.run_ranks(4, save, folder, gib)
    files = sorted(folder.glob("*.distcp"))
    program = ROOT / "build" / "release" / "bench" / "dcp_bench"

    def ours():
        return load_json(measured([program, folder, 2])["output"])

    def theirs():
        ranks.run_ranks(2, load, folder, gib, answer)
        return json.loads(answer.read_text())

    for state, prepare in (("warm", warm_cache), ("cold", drop_cache)):
        def before():
            os.sync()
            for file in files:
                prepare(file)

        first, second = paired(ours, theirs, runs, before)
        answers = {(r["sum"], r["bytes"]) for r in first + second}
        if len(answers) != 1:
            sys.exit(f"dcp_bench: the two sides read different bits: {answers}")
        seconds = [r["load_seconds"] for r in first], [r["load_seconds"] for r in second]
        bar = ">=3x" if state == "warm" else "the disk"
        report(f"4 ranks to 2, {gib} GiB, {state}", f"{ratio(seconds[1], seconds[0]):.2f}x", bar,
               f"{median(seconds[0]):.2f} s against dcp.load {median(seconds[1]):.2f} s")


if __name__ == "__main__":
    run(float(sys.argv[1]) if len(sys.argv) > 1 else 2.0, 5)
