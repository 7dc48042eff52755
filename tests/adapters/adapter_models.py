"""Models, adapters with random numbers in all their factors, and PEFT's own merge of both."""

import copy

import peft
import torch
import transformers
from safetensors.torch import load_file


def make_llama():
    torch.manual_seed(1)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=96, hidden_size=48, intermediate_size=112, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=False, attention_bias=True, mlp_bias=True))


def make_gpt2():
    torch.manual_seed(2)
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=96, n_positions=32, n_embd=48, n_layer=2, n_head=4))


MODELS = {"llama": make_llama, "gpt2": make_gpt2}


def shake(model, seed=3):
    """PEFT starts adapters so that they change nothing: here every one of their numbers is another."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if any(word in name for word in ("lora_", "hada_", "lokr_", "modules_to_save")):
                noise = torch.randn(parameter.shape, generator=random) * 0.1
                parameter.copy_(parameter + noise if "magnitude" in name else noise)
            elif "ia3_" in name:
                parameter.copy_(1 + torch.randn(parameter.shape, generator=random) * 0.2)
            elif parameter.requires_grad:  # trained biases
                parameter.add_(torch.randn(parameter.shape, generator=random) * 0.1)
    return model


def make_adapter(model, config, folder, seed=3):
    """Saves an adapter for the model; returns the model with it, merged by PEFT in float64."""
    adapted = shake(peft.get_peft_model(copy.deepcopy(model), config), seed)
    adapted.save_pretrained(folder)
    return merge(model, [folder])


def merge(model, folders):
    """PEFT's merge of saved adapters, one after the other, in float64: state_dict of the result."""
    wide = copy.deepcopy(model).to(torch.float64)
    for folder in folders:
        with_adapter = peft.PeftModel.from_pretrained(wide, folder, autocast_adapter_dtype=False)
        with_adapter.to(torch.float64)
        wide = with_adapter.merge_and_unload()
    return wide.state_dict()


def load(path):
    if path.is_file():
        return load_file(path)
    tensors = {}
    for part in sorted(path.glob("*.safetensors")):
        tensors |= load_file(part)
    return tensors


def assert_close(got, wanted, names=None):
    """Within one rounding of float32 of the float64 result."""
    for name in names or got:
        expected = wanted[name].to(torch.float64)
        torch.testing.assert_close(got[name].to(torch.float64), expected, rtol=1.2e-7, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}")
