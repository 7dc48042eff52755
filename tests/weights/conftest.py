"""Small models of a real architecture, as fine-tuning leaves them."""

import pytest
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


@pytest.fixture(scope="session")
def tunes(tmp_path_factory):
    """Folders of a base and two fine-tunes in bf16, one of them in shards."""
    folder = tmp_path_factory.mktemp("tunes")
    base = make_model(1)
    models = {"base": base, "a": make_model(2, base), "b": make_model(3, base)}
    for name, model in models.items():
        model.to(torch.bfloat16).save_pretrained(folder / name, max_shard_size="40KB" if name == "b" else "1GB")
    return folder
