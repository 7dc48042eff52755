"""`kilter adapter convert`: the same numbers under other names, and back."""

import json

import pytest
import torch
from adapter_models import load
from safetensors import safe_open
from safetensors.torch import save_file


def tensors(path):
    return load(path)


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name, tensor in a.items():
        assert b[name].dtype == tensor.dtype and b[name].shape == tensor.shape, name
        assert torch.equal(b[name], tensor), name


def kohya_file(path, alphas=True, dtype=torch.float16):
    random = torch.Generator().manual_seed(1)
    out = {}
    layers = {"lora_unet_down_blocks_0_attentions_1_transformer_blocks_0_attn2_to_k": (320, 768),
              "lora_unet_mid_block_attentions_0_transformer_blocks_0_ff_net_0_proj": (10240, 1280),
              "lora_unet_up_blocks_1_attentions_2_transformer_blocks_0_attn1_to_out_0": (1280, 1280),
              "lora_te_text_model_encoder_layers_7_self_attn_q_proj": (768, 768)}
    for name, (rows, columns) in layers.items():
        out[f"{name}.lora_down.weight"] = torch.randn(4, columns, generator=random).to(dtype)
        out[f"{name}.lora_up.weight"] = torch.randn(rows, 4, generator=random).to(dtype)
        if alphas:
            out[f"{name}.alpha"] = torch.tensor(2.5, dtype=dtype)
    out["lora_unet_down_blocks_1_resnets_0_conv1.lora_down.weight"] = torch.randn(4, 32, 3, 3, generator=random).to(dtype)
    out["lora_unet_down_blocks_1_resnets_0_conv1.lora_up.weight"] = torch.randn(64, 4, 1, 1, generator=random).to(dtype)
    if alphas:
        out["lora_unet_down_blocks_1_resnets_0_conv1.alpha"] = torch.tensor(1.0, dtype=dtype)
    save_file(out, path, metadata={"ss_network_dim": "4"})
    return out


@pytest.mark.parametrize("alphas", [True, False])
@pytest.mark.parametrize("naming", ["diffusers", "comfyui"])
def test_there_and_back_from_kohya(kilter, tmp_path, naming, alphas):
    source = kohya_file(tmp_path / "a.safetensors", alphas)
    kilter("adapter", "convert", tmp_path / "a.safetensors", tmp_path / "b.safetensors", "--naming", naming, status=0)
    other = tensors(tmp_path / "b.safetensors")
    prefix = {"diffusers": "unet.", "comfyui": "diffusion_model."}[naming]
    assert any(name.startswith(prefix) for name in other) and not other.keys() & source.keys()
    kilter("adapter", "convert", tmp_path / "b.safetensors", tmp_path / "c.safetensors", "--naming", "kohya", status=0)
    back = tensors(tmp_path / "c.safetensors")
    if naming == "diffusers":
        assert_same(source, back)
    else:  # ComfyUI's layers have the original names, which kohya's programs read too
        assert sorted(t.sum().item() for t in back.values()) == sorted(t.sum().item() for t in source.values())
    with safe_open(tmp_path / "c.safetensors", "pt") as file:
        assert file.metadata()["ss_network_dim"] == "4"


def test_original_names_for_comfyui(kilter, tmp_path):
    kohya_file(tmp_path / "a.safetensors")
    kilter("adapter", "convert", tmp_path / "a.safetensors", tmp_path / "b.safetensors", "--naming", "comfyui", status=0)
    names = tensors(tmp_path / "b.safetensors").keys()
    assert "diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.lora_A.weight" in names
    assert "diffusion_model.input_blocks.4.0.in_layers.2.lora_B.weight" in names
    assert "diffusion_model.output_blocks.5.1.transformer_blocks.0.attn1.to_out.0.alpha" in names
    assert "text_encoders.clip_l.transformer.text_model.encoder.layers.7.self_attn.q_proj.lora_A.weight" in names


def test_a_unet_alone_goes_through_peft(kilter, tmp_path):
    source = {name: tensor for name, tensor in kohya_file(tmp_path / "a.safetensors").items() if "_te_" not in name}
    save_file(source, tmp_path / "unet.safetensors")
    kilter("adapter", "convert", tmp_path / "unet.safetensors", tmp_path / "peft", "--naming", "peft", status=0)
    config = json.loads((tmp_path / "peft" / "adapter_config.json").read_text())
    assert config["peft_type"] == "LORA" and config["r"] == 4 and config["lora_alpha"] == 2.5
    assert config["alpha_pattern"] == {"down_blocks.1.resnets.0.conv1": 1}
    kilter("adapter", "convert", tmp_path / "peft", tmp_path / "back.safetensors", "--naming", "kohya", status=0)
    assert_same(source, tensors(tmp_path / "back.safetensors"))


def test_real_lora_through_every_naming(kilter, real_data, tmp_path):
    source = real_data / "diff_pairs" / "sd15_lora.safetensors"
    at, sums = source, None
    for i, naming in enumerate(["diffusers", "kohya", "peft", "comfyui", "kohya", "diffusers"]):
        out = tmp_path / (f"{i}" if naming == "peft" else f"{i}.safetensors")
        kilter("adapter", "convert", at, out, "--naming", naming, status=0)
        now = sorted((tuple(t.shape), t.double().sum().item()) for t in tensors(out).values() if t.dim() > 0)
        assert sums in (None, now) and len(now) == 256
        at, sums = out, now
        described = kilter("adapter", "inspect", out, "--json", status=0).json
        assert described["naming"] == naming and {module["scale"] for module in described["modules"]} == {1.0}
    first, last = tensors(tmp_path / "0.safetensors"), tensors(tmp_path / "5.safetensors")
    assert_same(first, last)


def test_what_a_naming_cannot_say(kilter, tmp_path):
    kohya_file(tmp_path / "two.safetensors")
    assert "several models" in kilter("adapter", "convert", tmp_path / "two.safetensors", tmp_path / "out", "--naming",
                                      "peft", status=2).err
    save_file({"lora_unet_a.diff": torch.ones(3, 3)}, tmp_path / "diff.safetensors")
    assert "full-diff" in kilter("adapter", "convert", tmp_path / "diff.safetensors", tmp_path / "x.safetensors",
                                 "--naming", "diffusers", status=2).err
    assert not (tmp_path / "out").exists() and not (tmp_path / "x.safetensors").exists()
