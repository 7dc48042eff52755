#!/usr/bin/env python3
"""How fast is a LoRA of rank 32 extracted from a fine-tune, durable, against mergekit-extract-lora?

Two models in the shape of a Llama (16 layers, width 1024, inner 2816, vocabulary 32,000; 518 MB of bf16 each); the
tuned one differs in every linear layer but the head by a spectrum that falls, as fine-tunes' do. Both sides leave the head
and the embeddings alone. Errors of both are taken in float64 from what they wrote: ours may be at most 1 % above.
"""

import json
import os
import shutil
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from harness import KILTER, WORK, measured, median, mib, paired, ratio, report, warm_cache
from weights_bench import make_model

FOLDER = WORK / "extract"
CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 1024, "intermediate_size": 2816,
          "num_hidden_layers": 16, "num_attention_heads": 16, "num_key_value_heads": 16, "vocab_size": 32000,
          "rms_norm_eps": 1e-5, "tie_word_embeddings": False, "torch_dtype": "bfloat16"}

# mergekit's own program, then what makes its output durable.
THEIRS = """
import os, subprocess, sys
program, tuned, base, out = sys.argv[1:]
subprocess.run([program, "--model", tuned, "--base-model", base, "--out-path", out, "--max-rank", "32",
                "--exclude-regex", "lm_head|embed_tokens", "--no-copy-tokenizer", "--quiet"], check=True, stdout=sys.stderr)
for name in os.listdir(out):
    descriptor = os.open(os.path.join(out, name), os.O_RDONLY)
    os.fsync(descriptor)
"""


def make_folders():
    base, tuned = FOLDER / "base", FOLDER / "tuned"
    for folder in (base, tuned):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(CONFIG))
    if not (base / "model.safetensors").exists():
        os.link(make_model(1), base / "model.safetensors")
    if not (tuned / "model.safetensors").exists():
        generator = torch.Generator().manual_seed(9)
        state = load_file(base / "model.safetensors")
        for name, value in state.items():
            if not name.endswith("proj.weight"):
                continue
            rows, columns = value.shape
            strength = 0.05 / torch.arange(1, 257)  # singular values of about this, times sqrt(rows * columns)
            up, down = torch.randn(rows, 256, generator=generator), torch.randn(256, columns, generator=generator)
            state[name] = (value.float() + (up * strength) @ down).to(torch.bfloat16)
        save_file(state, tuned / "model.safetensors", metadata={"format": "pt"})
    return base, tuned


def relative_error(lora, base, tuned):
    """Over every third module, in float64."""
    config = json.loads((lora / "adapter_config.json").read_text())
    squares = errors = 0.0
    with safe_open(lora / "adapter_model.safetensors", "pt") as factors, \
            safe_open(base / "model.safetensors", "pt") as a, safe_open(tuned / "model.safetensors", "pt") as b:
        downs = sorted(name for name in factors.keys() if name.endswith(".lora_A.weight"))
        for name in downs[::3]:
            path = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight") + ".weight"
            down, up = factors.get_tensor(name).double(), factors.get_tensor(name.replace("lora_A", "lora_B")).double()
            wanted = b.get_tensor(path).double() - a.get_tensor(path).double()
            scale = config["lora_alpha"] / config["r"]
            errors += float((wanted - scale * up @ down).square().sum())
            squares += float(wanted.square().sum())
    return len(downs), (errors / squares) ** 0.5


def run(runs):
    program = Path(sys.executable).with_name("mergekit-extract-lora")
    if not program.exists():
        report("extract LoRA of rank 32", "skipped", ">=5x", "mergekit is not installed")
        return
    base, tuned = make_folders()
    ours, theirs = FOLDER / "ours", FOLDER / "theirs"

    def before():
        for folder in (ours, theirs):
            shutil.rmtree(folder, ignore_errors=True)
        os.sync()
        for folder in (base, tuned):
            warm_cache(folder / "model.safetensors")

    mine = [KILTER, "adapter", "extract", tuned, base, ours, "--rank", "32", "--exclude", "lm_head", "--dtype", "bf16",
            "--quiet"]
    first, second = paired(lambda: measured(mine),
                           lambda: measured([sys.executable, "-c", THEIRS, program, tuned, base, theirs]), runs, before)
    measured(mine)
    (count, error), (their_count, their_error) = (relative_error(folder, base, tuned) for folder in (ours, theirs))
    if count != their_count or error > 1.01 * their_error:
        sys.exit(f"adapter_extract_bench: {count} modules with error {error}, against {their_count} with {their_error}")
    seconds = [r["seconds"] for r in first], [r["seconds"] for r in second]
    report("extract LoRA of rank 32 from two bf16 models of 518 MB", f"{ratio(seconds[1], seconds[0]):.2f}x", ">=5x",
           f"{median(seconds[0]):.2f} s against {median(seconds[1]):.2f} s")
    rss = median([r["rss_bytes"] for r in first]), median([r["rss_bytes"] for r in second])
    report("  peak memory", mib(rss[0]), "<=512 MiB", f"against {mib(rss[1])}")
    report("  relative error", f"{error:.4f}", "<=1.01x theirs", f"against {their_error:.4f}")
    for folder in (ours, theirs):
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
