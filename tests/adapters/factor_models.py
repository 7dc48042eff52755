"""Small models and adapters whose differences are known, and what numpy says of them."""

import json

import numpy as np
import torch
import transformers
from safetensors.torch import load_file


def make_llama(seed=1):
    torch.manual_seed(seed)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=72, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=False))


def tuned_from(base, change, seed=7):
    """A copy of `base` with change(name, parameter, generator) added to each parameter it gives one for."""
    import copy
    tuned = copy.deepcopy(base)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            difference = change(name, parameter, generator)
            if difference is not None:
                parameter += difference
    return tuned


def falling_spectrum(name, parameter, generator):
    """Singular values 1, 1/2, 1/3, … in random directions, for matrices."""
    if parameter.ndim != 2:
        return None
    rows, columns = parameter.shape
    count = min(rows, columns)
    left = torch.linalg.qr(torch.randn(rows, count, generator=generator))[0]
    right = torch.linalg.qr(torch.randn(columns, count, generator=generator))[0]
    return (left / torch.arange(1, count + 1)) @ right.T * 0.1


def low_rank(rank, strength=0.05):
    def change(name, parameter, generator):
        if parameter.ndim != 2 or "proj" not in name:
            return None
        rows, columns = parameter.shape
        return torch.randn(rows, rank, generator=generator) @ torch.randn(rank, columns, generator=generator) * strength
    return change


def read_adapter(folder):
    """{module path: (A, B, scale)} of a PEFT folder, by the configuration's own rules."""
    config = json.loads((folder / "adapter_config.json").read_text())
    tensors = load_file(folder / "adapter_model.safetensors")
    out = {}
    for name, down in tensors.items():
        if not name.endswith(".lora_A.weight"):
            continue
        path = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        up = tensors[name.replace("lora_A", "lora_B")]
        rank = down.shape[0]
        alpha = next((a for p, a in config.get("alpha_pattern", {}).items() if path.endswith(p.lstrip("^"))),
                     config["lora_alpha"])
        scale = alpha / rank**0.5 if config.get("use_rslora") else alpha / rank
        out[path] = (down.double().numpy(), up.double().numpy(), scale)
    return out


def differences(folder):
    """{module path: scale * B A} in float64."""
    return {path: scale * (up.reshape(len(up), -1) @ down.reshape(len(down), -1))
            for path, (down, up, scale) in read_adapter(folder).items()}


def best_error(matrix, rank):
    values = np.linalg.svd(matrix, compute_uv=False)
    return float(np.sqrt((values[rank:] ** 2).sum()))


def write_peft(folder, factors, alpha, base="base", **config):
    """A PEFT folder of {path: (A, B)}."""
    from safetensors.torch import save_file
    folder.mkdir(parents=True)
    tensors = {}
    for path, (down, up) in factors.items():
        tensors[f"base_model.model.{path}.lora_A.weight"] = down.contiguous()
        tensors[f"base_model.model.{path}.lora_B.weight"] = up.contiguous()
    save_file(tensors, folder / "adapter_model.safetensors")
    rank = next(iter(factors.values()))[0].shape[0]
    (folder / "adapter_config.json").write_text(json.dumps({
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base, "r": rank, "lora_alpha": alpha,
        "target_modules": sorted(factors), "bias": "none",
        "rank_pattern": {path: down.shape[0] for path, (down, _) in factors.items() if down.shape[0] != rank},
        **config}))
    return folder


def random_factors(seed, rank, shapes):
    generator = torch.Generator().manual_seed(seed)
    return {path: (torch.randn(rank, columns, generator=generator), torch.randn(rows, rank, generator=generator))
            for path, (rows, columns) in shapes.items()}


# The linear layers of make_llama()'s attention in layer 0.
ATTENTION = {f"model.layers.0.self_attn.{name}_proj": (rows, 32)
             for name, rows in (("q", 32), ("k", 16), ("v", 16), ("o", 32))}
