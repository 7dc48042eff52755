#!/usr/bin/env python3
"""How fast are linear blends and casts, durable, against torch?

Three models in the shape of a Llama (16 layers, width 1024, inner 2816, vocabulary 32,000; 518 MB of bf16 each), and
--size GiB of float32. The alternative does the same with torch and safetensors, tensor by tensor, and computes in
float32, so that its numbers may differ from ours in the last bit; ours are checked against float64.
"""

import json
import os
import sys

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from harness import KILTER, WORK, measured, median, mib, paired, ratio, report, warm_cache

FOLDER = WORK / "weights"

BLEND = """
import os, sys, torch
from safetensors import safe_open
from safetensors.torch import save_file
*sources, target = sys.argv[1:]
files = [safe_open(source, "pt") for source in sources]
out = {}
for name in files[0].keys():
    total = None
    for file in files:
        value = file.get_tensor(name).to(torch.float32) / len(files)
        total = value if total is None else total.add_(value)
    out[name] = total.to(torch.bfloat16)
save_file(out, target)
descriptor = os.open(target, os.O_RDONLY)
os.fsync(descriptor)
"""

SLERP = """
import os, sys, torch
from safetensors import safe_open
from safetensors.torch import save_file
a, b = (safe_open(path, "pt") for path in sys.argv[1:3])
out = {}
for name in a.keys():
    x, y = a.get_tensor(name).float(), b.get_tensor(name).float()
    cosine = (x * y).sum() / (x.norm() * y.norm())
    angle = torch.acos(cosine)
    shares = (0.7, 0.3) if abs(cosine) > 0.9995 else (torch.sin(0.7 * angle) / torch.sin(angle),
                                                     torch.sin(0.3 * angle) / torch.sin(angle))
    out[name] = (shares[0] * x + shares[1] * y).to(torch.bfloat16)
save_file(out, sys.argv[3])
descriptor = os.open(sys.argv[3], os.O_RDONLY)
os.fsync(descriptor)
"""

DIFF = """
import json, sys, torch
from safetensors import safe_open
a, b = (safe_open(path, "pt") for path in sys.argv[1:])
out = {}
for name in a.keys():
    x, y = a.get_tensor(name).double(), b.get_tensor(name).double()
    d = y - x
    out[name] = {"changed": int((d != 0).sum()), "largest": float(d.abs().max()), "rms": float((d * d).mean().sqrt()),
                 "cosine": float(torch.nn.functional.cosine_similarity(x.flatten(), y.flatten(), dim=0)),
                 "close": torch.allclose(x, y)}
print(json.dumps(out))
"""

CAST = """
import os, sys, torch
state = torch.load(sys.argv[1], weights_only=True)
torch.save({name: tensor.to(torch.bfloat16) for name, tensor in state.items()}, sys.argv[2])
descriptor = os.open(sys.argv[2], os.O_RDONLY)
os.fsync(descriptor)
"""


def shapes():
    yield "model.embed_tokens.weight", (32000, 1024)
    for layer in range(16):
        stem = f"model.layers.{layer}."
        for part in "qkvo":
            yield f"{stem}self_attn.{part}_proj.weight", (1024, 1024)
        yield f"{stem}mlp.gate_proj.weight", (2816, 1024)
        yield f"{stem}mlp.up_proj.weight", (2816, 1024)
        yield f"{stem}mlp.down_proj.weight", (1024, 2816)
        yield f"{stem}input_layernorm.weight", (1024,)
        yield f"{stem}post_attention_layernorm.weight", (1024,)
    yield "model.norm.weight", (1024,)
    yield "lm_head.weight", (32000, 1024)


def make_model(seed):
    path = FOLDER / f"llama_{seed}.safetensors"
    if not path.exists():
        generator = torch.Generator().manual_seed(seed)
        save_file({name: (torch.randn(shape, generator=generator) * 0.02).to(torch.bfloat16)
                   for name, shape in shapes()}, path)
    return path


def make_state(gib):
    path = FOLDER / f"state_{gib:g}.pt"
    if not path.exists():
        tensor_bytes = 32 << 20
        torch.save({f"layer.{i}": torch.randn(tensor_bytes // 4) * 0.02
                    for i in range(max(1, int(gib * (1 << 30)) // tensor_bytes))}, path)
    return path


def check_blend(sources, path):
    """Against float64, rounded once."""
    with safe_open(path, "pt") as ours:
        files = [safe_open(source, "pt") for source in sources]
        for name in list(ours.keys())[::17]:
            total = sum(file.get_tensor(name).double() * (1 / len(files)) for file in files)
            odd = total.float()  # to odd, then to bf16: rounded once
            off = odd.double() != total
            bits = odd.view(torch.int32) - (odd.double().abs() > total.abs()).int()
            wanted = torch.where(off, bits | 1, odd.view(torch.int32)).view(torch.float32).to(torch.bfloat16)
            if not torch.equal(ours.get_tensor(name), wanted):
                sys.exit(f"weights_bench: {name} is not the float64 average rounded once")


def check_slerp(models, path):
    """Within bf16's own rounding of float64."""
    with safe_open(path, "pt") as ours, safe_open(models[0], "pt") as a, safe_open(models[1], "pt") as b:
        for name in list(ours.keys())[::29]:
            x, y = a.get_tensor(name).double(), b.get_tensor(name).double()
            angle = torch.acos((x * y).sum() / (x.norm() * y.norm()))
            wanted = (torch.sin(0.7 * angle) * x + torch.sin(0.3 * angle) * y) / torch.sin(angle)
            if not torch.allclose(ours.get_tensor(name).double(), wanted, rtol=2**-8, atol=1e-12):
                sys.exit(f"weights_bench: {name} is no slerp")


def compare(title, bar, ours, theirs, sources, targets, runs, check):
    def before():
        for path in targets:
            path.unlink(missing_ok=True)
        os.sync()
        for source in sources:
            warm_cache(source)

    first, second = paired(lambda: measured(ours), lambda: measured(theirs), runs, before)
    measured(ours)
    check()
    seconds = [r["seconds"] for r in first], [r["seconds"] for r in second]
    report(title, f"{ratio(seconds[1], seconds[0]):.2f}x", bar,
           f"{median(seconds[0]):.2f} s against {median(seconds[1]):.2f} s")
    rss = median([r["rss_bytes"] for r in first]), median([r["rss_bytes"] for r in second])
    report("  peak memory", mib(rss[0]), "<=512 MiB", f"against {mib(rss[1])}")
    for path in targets:
        path.unlink(missing_ok=True)


def compare_diffs(a, b, runs):
    ours, theirs = [KILTER, "diff", a, b, "--json"], [sys.executable, "-c", DIFF, str(a), str(b)]

    def measured_diff(command):  # exit status 1: different
        return measured(["sh", "-c", '"$@" || [ $? = 1 ]', "sh", *command])

    first, second = paired(lambda: measured_diff(ours), lambda: measured_diff(theirs), runs)
    mine = {row["name"]: row for row in json.loads(first[0]["output"])["tensors"]}
    for name, row in json.loads(second[0]["output"]).items():
        if mine[name]["changed"] != row["changed"] or any(
                abs(mine[name][key] - row[key]) > 1e-9 for key in ("largest", "rms", "cosine")):
            sys.exit(f"weights_bench: {name} differs: {mine[name]} against {row}")
    seconds = [r["seconds"] for r in first], [r["seconds"] for r in second]
    report("diff of two bf16 models of 518 MB", f"{ratio(seconds[1], seconds[0]):.2f}x", ">=5x",
           f"{median(seconds[0]):.2f} s against {median(seconds[1]):.2f} s")
    rss = median([r["rss_bytes"] for r in first]), median([r["rss_bytes"] for r in second])
    report("  peak memory", mib(rss[0]), "<=256 MiB", f"against {mib(rss[1])}")


def run(gib, runs):
    FOLDER.mkdir(parents=True, exist_ok=True)
    models = [make_model(seed) for seed in (1, 2, 3)]
    ours, theirs = FOLDER / "ours.safetensors", FOLDER / "theirs.safetensors"
    compare("average of three bf16 models of 518 MB", ">=10x mergekit's 9.6 s",
            [KILTER, "average", *models, "-o", ours, "--force", "--quiet"],
            [sys.executable, "-c", BLEND, *map(str, models), str(theirs)], models, (ours, theirs), runs,
            lambda: check_blend(models, ours))
    compare("slerp of two", ">=10x mergekit's 10.1 s",
            [KILTER, "merge", "--a", models[0], "--b", models[1], "--slerp", "0.3", ours, "--force", "--quiet"],
            [sys.executable, "-c", SLERP, str(models[0]), str(models[1]), str(theirs)], models[:2], (ours, theirs), runs,
            lambda: check_slerp(models, ours))
    compare_diffs(models[0], models[1], runs)
    state = make_state(gib)
    ours, theirs = FOLDER / "ours.pt", FOLDER / "theirs.pt"

    def check_cast():
        wanted, got = torch.load(state, weights_only=True, mmap=True), torch.load(ours, weights_only=True, mmap=True)
        if not all(torch.equal(got[name], tensor.to(torch.bfloat16)) for name, tensor in wanted.items()):
            sys.exit("weights_bench: the cast differs from torch's")

    compare(f"cast {gib:g} GiB of float32 to bf16", ">=4x", [KILTER, "cast", state, ours, "--force", "--quiet"],
            [sys.executable, "-c", CAST, str(state), str(theirs)], [state], (ours, theirs), runs, check_cast)


if __name__ == "__main__":
    run(float(sys.argv[1]) if len(sys.argv) > 1 else 2.0, int(sys.argv[2]) if len(sys.argv) > 2 else 5)
