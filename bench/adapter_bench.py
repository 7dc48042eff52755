#!/usr/bin/env python3
"""How fast is a LoRA put into a model, durable, against PEFT's merge_and_unload and save_pretrained?

A model in the shape of a Llama (16 layers, width 1024, inner 2816, vocabulary 32,000; 518 MB of bf16) and a LoRA of
rank 16 for all of its linear layers but the head. PEFT computes in bf16, so that its numbers may differ from ours by its own
rounding; ours are checked against float64, rounded once.
"""

import json
import os
import shutil
import sys

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from harness import KILTER, WORK, measured, median, mib, paired, ratio, report, warm_cache
from weights_bench import make_model

FOLDER = WORK / "adapter"
RANK, ALPHA = 16, 24
CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 1024, "intermediate_size": 2816,
          "num_hidden_layers": 16, "num_attention_heads": 16, "num_key_value_heads": 16, "vocab_size": 32000,
          "rms_norm_eps": 1e-5, "tie_word_embeddings": False, "torch_dtype": "bfloat16"}
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

THEIRS = """
import os, sys, peft, torch, transformers
base, adapter, out = sys.argv[1:]
model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
peft.PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(out)
for name in os.listdir(out):
    descriptor = os.open(os.path.join(out, name), os.O_RDONLY)
    os.fsync(descriptor)
"""


def make_base():
    base = FOLDER / "base"
    base.mkdir(parents=True, exist_ok=True)
    (base / "config.json").write_text(json.dumps(CONFIG))
    if not (base / "model.safetensors").exists():
        save_file(load_file(make_model(1)), base / "model.safetensors", metadata={"format": "pt"})
    return base


def make_adapter(base):
    folder = FOLDER / "lora"
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(
        {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": str(base), "r": RANK,
         "lora_alpha": ALPHA, "target_modules": TARGETS, "bias": "none", "inference_mode": True}))
    if not (folder / "adapter_model.safetensors").exists():
        generator, factors = torch.Generator().manual_seed(5), {}
        with safe_open(base / "model.safetensors", "pt") as file:
            for name in file.keys():
                if not name.endswith("proj.weight"):
                    continue
                rows, columns = file.get_slice(name).get_shape()
                stem = "base_model.model." + name.removesuffix(".weight")
                factors[stem + ".lora_A.weight"] = torch.randn(RANK, columns, generator=generator) * 0.01
                factors[stem + ".lora_B.weight"] = torch.randn(rows, RANK, generator=generator) * 0.01
        save_file(factors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    return folder


def check_apply(base, adapter, out):
    """Against float64 rounded to bf16, which may take the other of two numbers at a tie."""
    factors = load_file(adapter / "adapter_model.safetensors")
    with safe_open(base / "model.safetensors", "pt") as before, safe_open(out / "model.safetensors", "pt") as after:
        names = [name for name in before.keys() if name.endswith("proj.weight")]
        for name in names[::9]:
            stem = "base_model.model." + name.removesuffix(".weight")
            delta = factors[stem + ".lora_B.weight"].double() @ factors[stem + ".lora_A.weight"].double()
            wanted = before.get_tensor(name).double() + ALPHA / RANK * delta
            off = (after.get_tensor(name).double() - wanted).abs()
            if (off > wanted.abs() * 2.0**-8 * 0.5000001 + 1e-40).any():
                sys.exit(f"adapter_bench: {name} is not the float64 sum rounded once")


def run(runs):
    FOLDER.mkdir(parents=True, exist_ok=True)
    base = make_base()
    adapter = make_adapter(base)
    ours, theirs = FOLDER / "ours", FOLDER / "theirs"

    def before():
        for path in (ours, theirs):
            shutil.rmtree(path, ignore_errors=True)
        os.sync()
        warm_cache(base / "model.safetensors")

    mine = [KILTER, "adapter", "apply", base, ours, "--adapter", adapter, "--force", "--quiet"]
    first, second = paired(lambda: measured(mine),
                           lambda: measured([sys.executable, "-c", THEIRS, str(base), str(adapter), str(theirs)]), runs,
                           before)
    measured(mine)
    check_apply(base, adapter, ours)
    seconds = [r["seconds"] for r in first], [r["seconds"] for r in second]
    report("LoRA of rank 16 into all linear layers of 518 MB", f"{ratio(seconds[1], seconds[0]):.2f}x", ">=5x",
           f"{median(seconds[0]):.2f} s against {median(seconds[1]):.2f} s")
    rss = median([r["rss_bytes"] for r in first]), median([r["rss_bytes"] for r in second])
    report("  peak memory", mib(rss[0]), "<=512 MiB", f"against {mib(rss[1])}")
    for path in (ours, theirs):
        shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
