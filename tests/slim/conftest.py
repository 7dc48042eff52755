"""Small models of a real architecture; and the float64 reference that stands beside the tests of weights."""

import sys
from pathlib import Path

import pytest
import torch
import transformers

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "weights"))  # float64.py


@pytest.fixture(scope="session")
def slim_models(tmp_path_factory):
    """llama: bf16, sides of whole and of single blocks; tied: its head is its embedding; gpt2."""
    folder = tmp_path_factory.mktemp("slim")
    torch.manual_seed(7)
    sizes = dict(vocab_size=96, hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
                 num_key_value_heads=2)
    for name, tied in (("llama", False), ("tied", True)):
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes, tie_word_embeddings=tied))
        model.to(torch.bfloat16).save_pretrained(folder / name)
    gpt2 = transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=50, n_embd=24, n_layer=2, n_head=3))
    gpt2.save_pretrained(folder / "gpt2")
    return folder
