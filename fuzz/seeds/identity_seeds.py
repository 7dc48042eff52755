"""Key sets of real models, one layer each, with a model card or configuration behind some."""

import re
from pathlib import Path

SAMPLES = Path(__file__).resolve().parents[2] / "tests" / "model_samples"
NAMES = ("bert-base-uncased", "clip-l14-openai", "deepseek-v3", "gpt2", "ia3-peft", "llama-2-7b",
         "loha-sd1", "lokr", "lora-diffusers", "lora-kohya-sdxl", "lora-peft-mistral", "mixtral-8x7b",
         "whisper-tiny-hf", "whisper-base-openai", "xtts-v2", "vit-base", "unknown-mnist")
CARD = b"""---
license: "apache-2.0"
base_model: [a/b, c/d]  # two
tags:
- merge
- 'lora'
---
# text
"""


def first_alternative(match):
    return re.split("[-,]", match.group(1))[0]


def keys(name):
    lines = (SAMPLES / f"{name}.keys").read_text().splitlines()
    kept = [line for line in lines if line and line[0] not in "#@"]
    return "\n".join(re.sub(r"\{([^{}]*)\}", first_alternative, line) for line in kept).encode()


def seeds():
    for name in NAMES:
        yield name, keys(name)
    yield "card", keys("llama-2-7b") + b"\0" + CARD
    yield "config", (keys("gpt2") + b'\0{"model_type": "gpt2", "n_layer": 12, "architectures": '
                     b'["GPT2LMHeadModel"], "tie_word_embeddings": true, "_name_or_path": "x"}')
    yield "adapter", (keys("lora-peft-mistral") + b'\0{"peft_type": "LORA", "r": 16, "lora_alpha": 32,'
                      b' "base_model_name_or_path": "mistralai/Mistral-7B-v0.1"}')
