"""`kilter adapter apply` across namings and layouts of bases, in float64, and what does not fit."""

import hashlib
import json
import shutil

import adapter_models
import peft
import pytest
import torch
from adapter_models import assert_close, load, make_adapter
from safetensors.torch import load_file, save_file


def random(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def product(up, down):
    """The matrix of two factors, convolutions as matrices, in float64."""
    return (up.double().flatten(1) @ down.double().flatten(1)).reshape(up.shape[0], *down.shape[1:])


# --- the parts of a diffusion model -------------------------------------------------------------------------

# diffusers' name, original name, shape, in a UNet of SD 1's form.
UNET = [
    ("down_blocks.0.attentions.1.transformer_blocks.0.attn2.to_k", "input_blocks.2.1.transformer_blocks.0.attn2.to_k",
     (32, 24)),
    ("down_blocks.1.resnets.0.conv1", "input_blocks.4.0.in_layers.2", (16, 8, 3, 3)),
    ("mid_block.attentions.0.proj_in", "middle_block.1.proj_in", (16, 16, 1, 1)),
    ("up_blocks.0.upsamplers.0.conv", "output_blocks.2.1.conv", (16, 16, 3, 3)),
    ("up_blocks.1.attentions.2.transformer_blocks.0.ff.net.0.proj",
     "output_blocks.5.1.transformer_blocks.0.ff.net.0.proj", (64, 16)),
    ("time_embedding.linear_1", "time_embed.0", (16, 8)),
]
TEXT = [("text_model.encoder.layers.0.self_attn.q_proj", (24, 24)), ("text_model.encoder.layers.1.mlp.fc2", (24, 48))]


def make_bases(folder):
    """The same weights as diffusers' folder and as one original file: {layer: weight}."""
    weights = {name: random(*shape, seed=i) for i, (name, _, shape) in enumerate(UNET)}
    text = {name: random(*shape, seed=90 + i) for i, (name, shape) in enumerate(TEXT)}
    for part in ("unet", "text_encoder"):
        (folder / "diffusers" / part).mkdir(parents=True)
        (folder / "diffusers" / part / "config.json").write_text("{}")
    (folder / "diffusers" / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    save_file({f"{name}.weight": w for name, w in weights.items()},
              folder / "diffusers" / "unet" / "diffusion_pytorch_model.safetensors")
    save_file({f"{name}.weight": w for name, w in text.items()},
              folder / "diffusers" / "text_encoder" / "model.safetensors")
    original = {f"model.diffusion_model.{other}.weight": weights[name] for name, other, _ in UNET}
    original |= {f"cond_stage_model.transformer.{name}.weight": w for name, w in text.items()}
    save_file(original, folder / "original.safetensors")
    torch.save({"state_dict": original}, folder / "original.ckpt")
    return weights, text


def make_factors():
    """{(part, layer): (up, down)}"""
    out = {}
    for i, (part, name, shape) in enumerate([("unet", name, shape) for name, _, shape in UNET] +
                                            [("te", name, shape) for name, shape in TEXT]):
        down = random(3, *shape[1:], seed=200 + i)
        up = random(shape[0], 3, *([1] * (len(shape) - 2)), seed=300 + i)
        out[part, name] = up, down
    return out


def spell(factors, naming):
    originals = {name: other for name, other, _ in UNET}
    out = {}
    for (part, name), (up, down) in factors.items():
        if naming.startswith("kohya"):
            path = originals.get(name, name) if naming == "kohya-original" else name
            stem = f"lora_{part}_" + path.replace(".", "_")
            out |= {f"{stem}.lora_up.weight": up, f"{stem}.lora_down.weight": down, f"{stem}.alpha": torch.tensor(6.0)}
        elif naming == "diffusers":
            stem = {"unet": "unet.", "te": "text_encoder."}[part] + name
            out |= {f"{stem}.lora_B.weight": up * 2, f"{stem}.lora_A.weight": down}
        else:
            stem = {"unet": "diffusion_model." + originals.get(name, ""),
                    "te": "text_encoders.clip_l.transformer." + name}[part]
            out |= {f"{stem}.lora_B.weight": up, f"{stem}.lora_A.weight": down, f"{stem}.alpha": torch.tensor(6.0)}
    return out


@pytest.mark.parametrize("base", ["diffusers", "original.safetensors", "original.ckpt"])
@pytest.mark.parametrize("naming", ["kohya", "kohya-original", "diffusers", "comfyui"])
def test_every_naming_onto_every_layout(kilter, tmp_path, base, naming):
    weights, text = make_bases(tmp_path)
    factors = make_factors()
    save_file(spell(factors, naming), tmp_path / "lora.safetensors")
    kilter("adapter", "apply", tmp_path / base, tmp_path / "out.safetensors", "-a", f"{tmp_path}/lora.safetensors=0.7",
           status=0)
    got = load_file(tmp_path / "out.safetensors")
    originals = {name: other for name, other, _ in UNET}
    for (part, name), (up, down) in factors.items():
        before = (weights if part == "unet" else text)[name]
        key = {"unet": f"unet.{name}", "te": f"text_encoder.{name}"}[part] if base == "diffusers" else {
            "unet": f"model.diffusion_model.{originals.get(name)}", "te": f"cond_stage_model.transformer.{name}"}[part]
        wanted = before.double() + 0.7 * 2 * product(up, down)
        torch.testing.assert_close(got[key + ".weight"].double(), wanted, rtol=1.2e-7, atol=1e-9)
    assert len(got) == len(factors)


def test_openclip_keeps_three_layers_in_one(kilter, tmp_path):
    joined = random(72, 24)
    stem = "conditioner.embedders.1.model.transformer.resblocks.0."
    save_file({stem + "attn.in_proj_weight": joined, stem + "mlp.c_fc.weight": random(48, 24, seed=1),
               "model.diffusion_model.out.2.weight": random(4, 8, 3, 3)}, tmp_path / "xl.safetensors")
    up, down = random(24, 2, seed=5), random(2, 24, seed=6)
    save_file({"lora_te2_text_model_encoder_layers_0_self_attn_k_proj.lora_up.weight": up,
               "lora_te2_text_model_encoder_layers_0_self_attn_k_proj.lora_down.weight": down}, tmp_path / "a.safetensors")
    kilter("adapter", "apply", tmp_path / "xl.safetensors", tmp_path / "out.safetensors", "-a", tmp_path / "a.safetensors",
           status=0)
    got = load_file(tmp_path / "out.safetensors")[stem + "attn.in_proj_weight"]
    assert torch.equal(got[:24], joined[:24]) and torch.equal(got[48:], joined[48:])
    torch.testing.assert_close(got[24:48].double(), joined[24:48].double() + product(up, down), rtol=1.2e-7, atol=1e-9)


# --- kohya's and LyCORIS' other kinds -----------------------------------------------------------------------

STEM = "lora_unet_layer"


def tucker(core, a, b):
    """[out, in, …] of a core [r, s, …] between a [r, out] and b [s, in]."""
    return torch.einsum("rs...,ro,si->oi...", core.double(), a.double(), b.double())


def lycoris_cases():
    w = [random(12, 3, seed=1), random(3, 20, seed=2), random(12, 3, seed=3), random(3, 20, seed=4)]
    yield ("loha", (12, 20), {"hada_w1_a": w[0], "hada_w1_b": w[1], "hada_w2_a": w[2], "hada_w2_b": w[3]},
           product(w[0], w[1]) * product(w[2], w[3]) * (2 / 3))
    small, large = random(3, 4, seed=1), random(4, 5, seed=2)
    yield "lokr whole", (12, 20), {"lokr_w1": small, "lokr_w2": large}, torch.kron(small.double(), large.double())
    a, b = random(4, 2, seed=3), random(2, 5, seed=4)
    yield ("lokr", (12, 20), {"lokr_w1": small, "lokr_w2_a": a, "lokr_w2_b": b},
           torch.kron(small.double(), product(a, b)) * (2 / 2))
    core, up, down = random(2, 3, 3, 3, seed=5), random(12, 2, 1, 1, seed=6), random(3, 20, 1, 1, seed=7)
    yield ("lora with a core", (12, 20, 3, 3), {"lora_mid.weight": core, "lora_up.weight": up, "lora_down.weight": down},
           tucker(core, up[:, :, 0, 0].T, down[:, :, 0, 0]) * (2 / 3))
    t = random(2, 2, 3, 3, seed=8), random(2, 2, 3, 3, seed=9)
    a, b = (random(2, 12, seed=10), random(2, 12, seed=11)), (random(2, 20, seed=12), random(2, 20, seed=13))
    yield ("loha with cores", (12, 20, 3, 3), {"hada_t1": t[0], "hada_w1_a": a[0], "hada_w1_b": b[0], "hada_t2": t[1],
                                               "hada_w2_a": a[1], "hada_w2_b": b[1]},
           tucker(t[0], a[0], b[0]) * tucker(t[1], a[1], b[1]))
    diff = random(12, 20, seed=14)
    yield "full difference", (12, 20), {"diff": diff}, diff.double()


CASES = {case[0]: case[1:] for case in lycoris_cases()}


@pytest.mark.parametrize("kind", CASES)
def test_lycoris(kilter, tmp_path, kind):
    shape, factors, delta = CASES[kind]
    base = random(*shape, seed=77)
    save_file({"layer.weight": base}, tmp_path / "base.safetensors")
    alpha = {} if kind == "full difference" else {f"{STEM}.alpha": torch.tensor(2.0)}
    save_file({f"{STEM}.{name}": tensor for name, tensor in factors.items()} | alpha, tmp_path / "a.safetensors")
    kilter("adapter", "apply", tmp_path / "base.safetensors", tmp_path / "out.safetensors", "-a",
           f"{tmp_path}/a.safetensors=0.5", status=0)
    got = load_file(tmp_path / "out.safetensors")["layer.weight"].double()
    torch.testing.assert_close(got, base.double() + 0.5 * delta, rtol=1.2e-7, atol=1e-9)


@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("strength", [1.0, 0.4])
def test_dora_of_rows_and_columns(kilter, tmp_path, columns, strength):
    base, up, down = random(300, 20, seed=1), random(300, 3, seed=2), random(3, 20, seed=3)
    magnitude = random(*((1, 20) if columns else (300, 1)), seed=4).abs() + 1
    save_file({"layer.weight": base}, tmp_path / "base.safetensors")
    save_file({f"{STEM}.lora_up.weight": up, f"{STEM}.lora_down.weight": down, f"{STEM}.alpha": torch.tensor(6.0),
               f"{STEM}.dora_scale": magnitude}, tmp_path / "a.safetensors")
    kilter("adapter", "apply", tmp_path / "base.safetensors", tmp_path / "out.safetensors", "-a",
           f"{tmp_path}/a.safetensors={strength}", status=0)
    moved = base.double() + 2 * product(up, down)
    turned = magnitude.double() / moved.norm(dim=0 if columns else 1, keepdim=True) * moved
    got = load_file(tmp_path / "out.safetensors")["layer.weight"].double()
    torch.testing.assert_close(got, base.double() + strength * (turned - base.double()), rtol=1.2e-7, atol=1e-8)


# --- real files, one result whatever the machine, reproduced ------------------------------------------------


def real_base(lora, path):
    """A base with the layers that the real LoRA changes."""
    shapes = {}
    for name, tensor in lora.items():
        layer = name.replace(".processor.", ".").replace("to_out_lora", "to_out.0_lora").split("_lora.")[0]
        rows, columns = shapes.get(layer, (0, 0))
        shapes[layer] = (rows, tensor.shape[1]) if ".down." in name else (tensor.shape[0], columns)
    base = {f"{layer}.weight": random(*shape, seed=i, dtype=torch.float16) for i, (layer, shape) in enumerate(shapes.items())}
    save_file(base, path)
    return base


def test_a_real_lora_whatever_threads_and_budget(kilter, real_data, tmp_path):
    for form in ("safetensors", "bin"):
        shutil.copy(real_data / "diff_pairs" / f"sd15_lora.{form}", tmp_path)
    lora = load_file(tmp_path / "sd15_lora.safetensors")
    base = real_base(lora, tmp_path / "base.safetensors")
    digests = set()
    for i, (form, more) in enumerate([("bin", []), ("safetensors", ["--threads", "1", "--max-memory", "64MiB"]),
                                      ("safetensors", ["--threads", "7", "--max-memory", "1GiB"])]):
        report = kilter("adapter", "apply", tmp_path / "base.safetensors", tmp_path / f"{i}.safetensors", "-a",
                        tmp_path / f"sd15_lora.{form}", "--json", *more, status=0).json
        assert {tensor["fate"] for tensor in report["tensors"]} == {"adapted"} and len(report["tensors"]) == 128
        out = load_file(tmp_path / f"{i}.safetensors")
        digests.add(hashlib.sha256(b"".join(out[name].numpy().tobytes() for name in sorted(out))).hexdigest())
    assert len(digests) == 2  # the pair's numbers differ; threads and budget change nothing
    for name in list(out)[::7]:
        stem = name.removesuffix(".weight").replace("to_out.0", "to_out")
        stem = stem.rsplit(".", 1)[0] + ".processor." + stem.rsplit(".", 1)[1] + "_lora"
        wanted = base[name].double() + product(lora[stem + ".up.weight"], lora[stem + ".down.weight"])
        torch.testing.assert_close(out[name].double(), wanted, rtol=2**-11, atol=2**-25)


def test_made_again_from_its_recipe(kilter, bases, tmp_path):
    make_adapter(adapter_models.make_llama(), peft.LoraConfig(r=2, target_modules=["q_proj"]), tmp_path / "a")
    kilter("adapter", "apply", bases / "llama", tmp_path / "out", "-a", f"{tmp_path / 'a'}=0.3", status=0)
    assert kilter("reproduce", tmp_path / "out", tmp_path / "again", "--json", status=0).json["same"]
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    (tmp_path / "a" / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 99}))
    assert "adapter_config.json" in kilter("reproduce", tmp_path / "out", tmp_path / "third", status=3).err


# --- what does not fit --------------------------------------------------------------------------------------


def refused(kilter, base, adapter, out, *words, status=2):
    run = kilter("adapter", "apply", base, out, "-a", adapter, status=status)
    assert all(word in run.err for word in words), run.err
    assert not out.exists()


def test_misfits_are_named_before_anything_is_written(kilter, tmp_path):
    save_file({"layer.weight": random(8, 6), "other.weight": random(8, 6)}, tmp_path / "base.safetensors")
    good = {"lora_unet_other.lora_up.weight": random(8, 2), "lora_unet_other.lora_down.weight": random(2, 6)}
    cases = {
        "missing": ({"lora_unet_nowhere.lora_up.weight": random(8, 2), "lora_unet_nowhere.lora_down.weight": random(2, 6)},
                    "nowhere is not in the base"),
        "shape": ({"lora_unet_layer.lora_up.weight": random(9, 2), "lora_unet_layer.lora_down.weight": random(2, 6)},
                  "[9, 6]"),
        "extra": ({"lora_unet_layer.oft_blocks": random(2, 3, 3)}, "OFT"),
    }
    for kind, (factors, words) in cases.items():
        save_file(good | factors, tmp_path / f"{kind}.safetensors")
        refused(kilter, tmp_path / "base.safetensors", tmp_path / f"{kind}.safetensors", tmp_path / "out.safetensors", words,
                f"--allow {kind}")
        kilter("adapter", "apply", tmp_path / "base.safetensors", tmp_path / f"{kind}-out.safetensors", "-a",
               tmp_path / f"{kind}.safetensors", "--allow", kind, status=0)
        got = load_file(tmp_path / f"{kind}-out.safetensors")
        assert torch.equal(got["layer.weight"], random(8, 6)) and not torch.equal(got["other.weight"], random(8, 6))


def test_factors_must_fit_each_other(kilter, tmp_path):
    save_file({"layer.weight": random(8, 6)}, tmp_path / "base.safetensors")
    save_file({f"{STEM}.lora_up.weight": random(8, 2), f"{STEM}.lora_down.weight": random(3, 6)}, tmp_path / "a.safetensors")
    refused(kilter, tmp_path / "base.safetensors", tmp_path / "a.safetensors", tmp_path / "out.safetensors", "fit each other",
            status=3)
    save_file({f"{STEM}.lora_up.weight": random(8, 2)}, tmp_path / "b.safetensors")
    refused(kilter, tmp_path / "base.safetensors", tmp_path / "b.safetensors", tmp_path / "out.safetensors", "lora_A",
            status=3)


def test_quantized_bases_are_refused(kilter, tmp_path):
    lora = {"base_model.model.layer.lora_A.weight": random(2, 6), "base_model.model.layer.lora_B.weight": random(8, 2)}
    (tmp_path / "a").mkdir()
    save_file(lora, tmp_path / "a" / "adapter_model.safetensors")
    (tmp_path / "a" / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 2, "lora_alpha": 2}')
    save_file({"layer.qweight": torch.zeros(8, 1, dtype=torch.int32)}, tmp_path / "gptq.safetensors")
    refused(kilter, tmp_path / "gptq.safetensors", tmp_path / "a", tmp_path / "out", "quantized", status=3)
    save_file({"layer.weight": torch.zeros(8, 6, dtype=torch.int8)}, tmp_path / "int8.safetensors")
    refused(kilter, tmp_path / "int8.safetensors", tmp_path / "a", tmp_path / "out", "quantized", status=3)


def test_peft_needs_its_configuration(kilter, tmp_path):
    save_file({"layer.weight": random(8, 6)}, tmp_path / "base.safetensors")
    lora = {"base_model.model.layer.lora_A.weight": random(2, 6), "base_model.model.layer.lora_B.weight": random(8, 2)}
    (tmp_path / "a").mkdir()
    file = tmp_path / "a" / "adapter_model.safetensors"
    save_file(lora, file)
    refused(kilter, tmp_path / "base.safetensors", file, tmp_path / "out", "adapter_config.json")
    (tmp_path / "a" / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 2, "lora_alpha": 5}')
    kilter("adapter", "apply", tmp_path / "base.safetensors", tmp_path / "out.safetensors", "-a", file, status=0)
    wanted = random(8, 6).double() + 2.5 * product(*reversed(list(lora.values())))
    assert_close(load_file(tmp_path / "out.safetensors"), {"layer.weight": wanted})
    for settings, words in [('"init_lora_weights": "pissa"', "pissa"), ('"layer_replication": [[0, 1]]', "layer_replication"),
                            ('"alpha_pattern": 3', "alpha_pattern")]:
        (tmp_path / "a" / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 2, "lora_alpha": 5, ' + settings + "}")
        refused(kilter, tmp_path / "base.safetensors", file, tmp_path / "no", words, status=3)


def test_nan_in_a_factor(kilter, tmp_path):
    save_file({"layer.weight": random(8, 6)}, tmp_path / "base.safetensors")
    save_file({f"{STEM}.lora_up.weight": random(8, 2) * float("nan"), f"{STEM}.lora_down.weight": random(2, 6)},
              tmp_path / "a.safetensors")
    refused(kilter, tmp_path / "base.safetensors", tmp_path / "a.safetensors", tmp_path / "out.safetensors", "NaN", status=3)
