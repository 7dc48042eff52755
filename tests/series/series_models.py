"""Models for the tests of this folder, and ways to look at what came out."""

import numpy as np
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file


def make_llama(seed, base=None, away=1e-3):
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=96, hidden_size=48, intermediate_size=112, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=False)
    model = transformers.LlamaForCausalLM(config)
    if base is not None:
        with torch.no_grad():
            for own, its in zip(model.parameters(), base.parameters()):
                own.copy_(its + torch.randn_like(its) * away)
    return model


def save_tunes(folder):
    base = make_llama(1)
    models = {"base": base, "a": make_llama(2, base), "b": make_llama(3, base), "c": make_llama(4, base)}
    for name, model in models.items():
        model.to(torch.bfloat16).save_pretrained(folder / name, max_shard_size="40KB" if name == "b" else "1GB")
    return folder


def load(path):
    if path.is_file():
        return load_file(path)
    tensors = {}
    for part in sorted(path.glob("*.safetensors")):
        tensors |= load_file(part)
    return tensors


def metadata(path):
    with safe_open(path, "pt") as file:
        return file.metadata() or {}


def nearest_bf16(values):
    """float64 values as bf16, rounded once (torch goes by way of float32): ties to even; normal numbers."""
    _, exponent = np.frexp(values)
    unit = np.ldexp(1.0, exponent - 8)
    return torch.from_numpy(np.rint(values / unit) * unit).to(torch.bfloat16)


def bits(tensor):
    return tensor.contiguous().flatten().view(torch.uint8).numpy() if tensor.numel() else np.zeros(0, np.uint8)


def assert_same_bits(got, wanted):
    assert got.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert got[name].dtype == tensor.dtype and got[name].shape == tensor.shape, name
        assert np.array_equal(bits(got[name]), bits(tensor)), name
