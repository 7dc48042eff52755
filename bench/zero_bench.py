"""How fast do 2 GiB of ZeRO-3 partitions in 8 parts become one fp32 safetensors file, durable?

Against the algorithm of DeepSpeed's zero_to_fp32 in torch: every rank's file mapped, each parameter's
slices from all ranks joined, saved and synced. The two outputs are compared bit for bit.
"""

import os
import sys

from convert_bench import same_tensors
from harness import KILTER, WORK, drop_cache, measured, median, mib, paired, ratio, report, warm_cache
import make_inputs

RANKS = 8

THEIRS = """
import glob, os, sys, torch
from safetensors.torch import save_file
folder, target = sys.argv[1:]
optim = sorted(glob.glob(f"{folder}/*_optim_states.pt"))
states = [torch.load(f, map_location="cpu", mmap=True, weights_only=True)["optimizer_state_dict"] for f in optim]
model = torch.load(f"{folder}/zero_pp_rank_0_mp_rank_00_model_states.pt", map_location="cpu", weights_only=True)
world = states[0]["partition_count"]
assert world == len(states)
groups = [s["fp32_flat_groups"] for s in states]
starts = [0]
for group in groups[0]:
    starts.append(starts[-1] + group.numel())
out, offset = {}, 0
for shapes in model["param_shapes"]:
    for name, shape in shapes.items():
        count = shape.numel()
        part = -(-count // world)
        chunks = []
        for rank in groups:
            for i, group in enumerate(rank):
                begin, end = max(offset, starts[i]), min(offset + part, starts[i + 1])
                if begin < end:
                    chunks.append(group[begin - starts[i]:end - starts[i]])
        out[name] = torch.cat(chunks)[:count].view(shape).contiguous()
        offset += part
assert offset == starts[-1]
save_file(out, target)
descriptor = os.open(target, os.O_RDONLY)
os.fsync(descriptor)
"""


def zero3_checkpoint(gib):
    """A folder as DeepSpeed's stage 3 lays it out, made with torch: two sub-groups, so that a parameter
    straddles them, and a parameter whose size is no multiple of the ranks."""
    folder = WORK / f"zero3-{gib}"
    if folder.exists():
        return folder
    import torch
    from collections import OrderedDict

    building = folder.with_suffix(".building")
    tag = building / "global_step1"
    tag.mkdir(parents=True, exist_ok=True)
    tensors = make_inputs.checkpoint_tensors(gib)
    tensors["odd.bias"] = torch.arange(1003, dtype=torch.float32)
    shapes = OrderedDict((name, tensor.shape) for name, tensor in tensors.items())
    for rank in range(RANKS):
        parts = []
        for tensor in tensors.values():
            flat = tensor.flatten()
            part = -(-flat.numel() // RANKS)
            own = flat[rank * part:(rank + 1) * part]
            parts.append(torch.nn.functional.pad(own, (0, part - own.numel())))
        vector = torch.cat(parts)
        cut = vector.numel() // 2 - 12345
        torch.save({"optimizer_state_dict": {
            "zero_stage": 3, "partition_count": RANKS, "fp32_flat_groups": [vector[:cut].clone(), vector[cut:].clone()],
            "optimizer_state_dict": {"state": {}, "param_groups": []}}},
            tag / f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt")
        torch.save({"module": OrderedDict((name, torch.empty(0)) for name in tensors), "buffer_names": [],
                    "param_shapes": [shapes], "shared_params": {}, "ds_version": "0.0.0"},
                   tag / f"zero_pp_rank_{rank}_mp_rank_00_model_states.pt")
    (building / "latest").write_text("global_step1")
    building.rename(folder)
    return folder


def run(gib, runs):
    folder = zero3_checkpoint(gib)
    parts = sorted((folder / "global_step1").glob("*_optim_states.pt"))
    ours_path, theirs_path = WORK / "ours.safetensors", WORK / "theirs.safetensors"
    ours = [KILTER, "convert", folder, ours_path, "--part", "weights", "--force", "--quiet"]
    theirs = [sys.executable, "-c", THEIRS, str(folder / "global_step1"), str(theirs_path)]
    idle = measured([KILTER, "--version"])["rss_bytes"]
    for state, prepare in (("warm", warm_cache), ("cold", drop_cache)):
        def before():
            for path in (ours_path, theirs_path):
                path.unlink(missing_ok=True)
            os.sync()
            for part in parts:
                prepare(part)

        first, second = paired(lambda: measured(ours), lambda: measured(theirs), runs, before)
        if state == "warm":
            measured(ours)  # `before` removed it
            if not same_tensors(ours_path, theirs_path):
                sys.exit("zero_bench: the two outputs differ")
        seconds = [r["seconds"] for r in first], [r["seconds"] for r in second]
        report(f"ZeRO-3, {gib} GiB in {RANKS} parts, to fp32, {state}", f"{ratio(seconds[1], seconds[0]):.2f}x",
               ">=4x", f"{median(seconds[0]):.2f} s against {median(seconds[1]):.2f} s")
        rss = median([r["rss_bytes"] for r in first]), median([r["rss_bytes"] for r in second])
        report(f"  peak memory beyond the program's own {mib(idle)}", mib(rss[0] - idle), "<=512 MiB",
               f"against {mib(rss[1])}")
    for path in (ours_path, theirs_path):
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    run(float(sys.argv[1]) if len(sys.argv) > 1 else 2.0, int(sys.argv[2]) if len(sys.argv) > 2 else 5)
