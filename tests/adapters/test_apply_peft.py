"""`kilter adapter apply` beside PEFT's merge_and_unload, for every kind of adapter PEFT saves."""

import adapter_models
import peft
import pytest
import torch
from adapter_models import assert_close, load, make_adapter

ATTENTION = ["q_proj", "v_proj"]
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

LLAMA = {
    "lora": peft.LoraConfig(r=4, lora_alpha=10, target_modules=LINEAR),
    "rslora": peft.LoraConfig(r=5, lora_alpha=3, use_rslora=True, target_modules=ATTENTION),
    "patterns": peft.LoraConfig(
        r=4, lora_alpha=8, target_modules=LINEAR,
        rank_pattern={"down_proj": 7, r"layers\.1\.self_attn\.q_proj": 3},
        alpha_pattern={r"layers\.\d+\.mlp\.up_proj": 5, "v_proj": 2.5}),
    "dora": peft.LoraConfig(r=4, lora_alpha=6, use_dora=True, target_modules=LINEAR),
    "embedding": peft.LoraConfig(r=4, lora_alpha=9, target_modules=["embed_tokens", "lm_head"]),
    "dora-embedding": peft.LoraConfig(r=4, lora_alpha=9, use_dora=True, target_modules=["embed_tokens"]),
    "lora-bias": peft.LoraConfig(r=4, lora_alpha=6, lora_bias=True, target_modules=ATTENTION),
    "bias-only": peft.LoraConfig(r=4, lora_alpha=6, bias="lora_only", target_modules=ATTENTION),
    "bias-all": peft.LoraConfig(r=4, lora_alpha=6, bias="all", target_modules=ATTENTION),
    "saved": peft.LoraConfig(r=4, target_modules=ATTENTION, modules_to_save=["lm_head", "norm"]),
    "loha": peft.LoHaConfig(r=3, alpha=5, target_modules=LINEAR),
    "lokr": peft.LoKrConfig(r=3, alpha=5, target_modules=LINEAR),
    "lokr-decomposed": peft.LoKrConfig(r=2, alpha=5, decompose_both=True, decompose_factor=4,
                                       target_modules=LINEAR),
    "lokr-whole": peft.LoKrConfig(r=64, alpha=5, target_modules=ATTENTION),
    "ia3": peft.IA3Config(target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"]),
}
GPT2 = {
    "lora": peft.LoraConfig(r=4, lora_alpha=10, fan_in_fan_out=True, target_modules=["c_attn", "c_proj", "c_fc"]),
    "dora": peft.LoraConfig(r=4, lora_alpha=10, use_dora=True, fan_in_fan_out=True,
                            target_modules=["c_attn", "c_proj"]),
    "ia3": peft.IA3Config(target_modules=["c_attn", "mlp.c_proj"], feedforward_modules=["mlp.c_proj"],
                          fan_in_fan_out=True),
}


@pytest.mark.parametrize("kind", LLAMA)
def test_llama(kilter, bases, tmp_path, kind):
    expected = make_adapter(adapter_models.make_llama(), LLAMA[kind], tmp_path / "adapter")
    kilter("adapter", "apply", bases / "llama", tmp_path / "out", "--adapter", tmp_path / "adapter", status=0)
    got = load(tmp_path / "out")
    assert got.keys() == expected.keys()
    assert any(not torch.equal(got[name], tensor) for name, tensor in load(bases / "llama").items())
    assert_close(got, expected)


@pytest.mark.parametrize("kind", GPT2)
def test_weights_stored_the_other_way_round(kilter, bases, tmp_path, kind):
    expected = make_adapter(adapter_models.make_gpt2(), GPT2[kind], tmp_path / "adapter")
    kilter("adapter", "apply", bases / "gpt2", tmp_path / "out", "--adapter", tmp_path / "adapter", status=0)
    got = load(tmp_path / "out")
    assert_close(got, expected, [name for name in got if name in expected])


class Convolutions(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.first = torch.nn.Conv2d(6, 8, 3)
        self.second = torch.nn.Conv2d(8, 10, 1)
        self.line = torch.nn.Conv1d(10, 12, 5)


@pytest.mark.parametrize("config", [
    peft.LoraConfig(r=3, lora_alpha=5, target_modules=["first", "second", "line"]),
    peft.LoraConfig(r=3, lora_alpha=5, use_dora=True, target_modules=["first", "second"]),
    peft.LoHaConfig(r=3, alpha=5, target_modules=["first", "second"]),
    peft.LoHaConfig(r=3, alpha=5, use_effective_conv2d=True, target_modules=["first"]),
    peft.LoKrConfig(r=2, alpha=5, decompose_factor=4, target_modules=["first", "second"]),
    peft.LoKrConfig(r=1, alpha=5, use_effective_conv2d=True, decompose_both=True, decompose_factor=2,
                    target_modules=["first"]),
    peft.IA3Config(target_modules=["first", "second"], feedforward_modules=["second"]),
], ids=["lora", "dora", "loha", "loha-tucker", "lokr", "lokr-tucker", "ia3"])
def test_convolutions(kilter, tmp_path, config):
    model = Convolutions()
    torch.save(model.state_dict(), tmp_path / "base.pt")
    expected = make_adapter(model, config, tmp_path / "adapter")
    kilter("adapter", "apply", tmp_path / "base.pt", tmp_path / "out.safetensors", "--adapter", tmp_path / "adapter",
           status=0)
    assert_close(load(tmp_path / "out.safetensors"), expected)


def test_several_are_applied_one_after_the_other(kilter, bases, tmp_path):
    model = adapter_models.make_llama()
    kinds = ["lora", "ia3", "dora", "loha"]
    for seed, kind in enumerate(kinds):
        make_adapter(model, LLAMA[kind], tmp_path / kind, seed)
    options = [part for kind in kinds for part in ("--adapter", tmp_path / kind)]
    kilter("adapter", "apply", bases / "llama", tmp_path / "out", *options, status=0)
    assert_close(load(tmp_path / "out"), adapter_models.merge(model, [tmp_path / kind for kind in kinds]))


def test_strength_scales_what_is_added(kilter, bases, tmp_path):
    base = load(bases / "llama")
    whole = make_adapter(adapter_models.make_llama(), LLAMA["lora"], tmp_path / "adapter")
    kilter("adapter", "apply", bases / "llama", tmp_path / "out", "--adapter", f"{tmp_path / 'adapter'}=-0.5",
           status=0)
    expected = {name: base[name].double() - 0.5 * (whole[name] - base[name].double()) for name in base}
    assert_close(load(tmp_path / "out"), expected)
