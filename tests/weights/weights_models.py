"""A small Llama, and what fine-tuning leaves of it."""

import torch
import transformers


def make_model(seed, base=None):
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=96, hidden_size=48, intermediate_size=112, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=False)
    model = transformers.LlamaForCausalLM(config)
    if base is not None:  # what a fine-tune is: a little away from its base
        with torch.no_grad():
            for own, its in zip(model.parameters(), base.parameters()):
                own.copy_(its + torch.randn_like(its) * 1e-3)
    return model
