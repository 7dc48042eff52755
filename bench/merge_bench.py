#!/usr/bin/env python3
"""How fast are recipes merged, durable, against mergekit with its own defaults, and in how much memory?

Three models in the shape of a Llama (16 layers, width 1024, inner 2816, vocabulary 32,000; 518 MB of bf16 each).
Both programs follow the same YAML; mergekit's folder is synced afterwards, as Kilter's is. Before figures count, the
two answers are compared: number by number, or, where chance decides, by norm and by how much was dropped.
"""

import json
import os
import shutil
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from harness import KILTER, WORK, measured, median, mib, paired, ratio, report, warm_cache
from weights_bench import shapes

FOLDER = WORK / "merge"

# What mergekit-yaml runs, and the folder made durable. A `pip install --no-deps` leaves out what merging never loads.
THEIRS = """
import os, sys
from mergekit.scripts.run_yaml import main
try:
    main([sys.argv[1], sys.argv[2], "--quiet", "--no-copy-tokenizer"], standalone_mode=False)
finally:
    for name in os.listdir(sys.argv[2]):
        descriptor = os.open(os.path.join(sys.argv[2], name), os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
"""
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 1024, "intermediate_size": 2816,
    "num_hidden_layers": 16, "num_attention_heads": 16, "num_key_value_heads": 16, "vocab_size": 32000,
    "tie_word_embeddings": False, "torch_dtype": "bfloat16", "max_position_embeddings": 2048, "rms_norm_eps": 1e-6}
RECIPES = {
    "linear": ("9.6 s", 3, {"weight": 1.0}, False),
    "ties": ("31.7 s", 3, {"weight": 0.5, "density": 0.5}, True),
    "dare_ties": ("18.1 s", 3, {"weight": 0.5, "density": 0.5}, True),
    "slerp": ("10.1 s", 2, {"t": 0.3}, True),
}


def make_model(seed):
    """The base, or a little away from it."""
    folder = FOLDER / f"model_{seed}"
    if not (folder / "model.safetensors").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(CONFIG))
        base, tune = torch.Generator().manual_seed(1), torch.Generator().manual_seed(seed)
        tensors = {}
        for name, shape in shapes():
            tensor = torch.randn(shape, generator=base) * 0.02
            if seed != 1:
                tensor += torch.randn(shape, generator=tune) * 0.002
            tensors[name] = tensor.to(torch.bfloat16)
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def write_recipe(method, models):
    _, _, parameters, has_base = RECIPES[method]
    recipe = {"merge_method": method, "dtype": "bfloat16", "parameters": parameters,
              "models": [{"model": str(model)} for model in (models[1:] if has_base else models)]}
    if has_base:
        recipe["base_model"] = str(models[0])
    path = FOLDER / f"{method}.yml"
    path.write_text(json.dumps(recipe))  # JSON is YAML
    return path


def check(method, models, ours, theirs):
    """Every 13th tensor: the same within bf16's rounding, but for one number in fifty where ranks or chance choose."""
    with safe_open(ours / "model.safetensors", "pt") as a, safe_open(theirs / "model.safetensors", "pt") as b, \
            safe_open(models[0] / "model.safetensors", "pt") as base:
        for name in sorted(a.keys())[::13]:
            x, y, start = (file.get_tensor(name).double() for file in (a, b, base))
            if method == "dare_ties":
                mine, its = x - start, y - start
                if abs(mine.norm() / its.norm() - 1) > 0.05 or abs(((mine != 0) == 0).double().mean()
                                                                   - (its == 0).double().mean()) > 0.03:
                    sys.exit(f"merge_bench: {name} is not what mergekit's {method} is in distribution")
                continue
            far = ((x - y).abs() > torch.maximum(x.abs(), start.abs()) * 2**-6 + 1e-12).double().mean()
            if far > 0.02:
                sys.exit(f"merge_bench: {name} differs from mergekit's {method} in {far:.1%} of its numbers")


def compare(method, models, runs):
    bar, count, _, _ = RECIPES[method]
    models = models[:count]
    recipe, ours, theirs = write_recipe(method, models), FOLDER / "ours", FOLDER / "theirs"

    def before():
        for folder in (ours, theirs):
            shutil.rmtree(folder, ignore_errors=True)
        os.sync()
        for model in models:
            warm_cache(model / "model.safetensors")

    made = [KILTER, "merge", recipe, ours, "--force", "--quiet"]
    first, second = paired(lambda: measured(made),
                           lambda: measured([sys.executable, "-c", THEIRS, recipe, theirs]), runs, before)
    measured(made)
    check(method, models, ours, Path(theirs))
    seconds = [r["seconds"] for r in first], [r["seconds"] for r in second]
    report(f"recipe: {method}, {count} bf16 models of 518 MB", f"{ratio(seconds[1], seconds[0]):.2f}x", ">=10x",
           f"{median(seconds[0]):.2f} s against {median(seconds[1]):.2f} s (first measured: {bar})")
    rss = median([r["rss_bytes"] for r in first]), median([r["rss_bytes"] for r in second])
    report("  peak memory", mib(rss[0]), "<=512 MiB", f"against {mib(rss[1])}")
    for folder in (ours, theirs):
        shutil.rmtree(folder, ignore_errors=True)


def run(runs, methods=tuple(RECIPES)):
    FOLDER.mkdir(parents=True, exist_ok=True)
    models = [make_model(seed) for seed in (1, 2, 3)]
    for method in methods:
        compare(method, models, runs)


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else 3, sys.argv[2:] or tuple(RECIPES))
