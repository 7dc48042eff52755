"""f8 with scales beside float64, and as transformers reads it; and back."""

import json

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from float64 import as_float64, assert_bits, rounded
from slim_reference import load_all, multiplied, scaled

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2
SCALE = {"deepseek": "_scale_inv", "compressed-tensors": "_scale"}


def rough(shape, seed, dtype=torch.float32):
    random = np.random.default_rng(seed)
    values = random.standard_normal(shape) * 2.0 ** random.integers(-20, 10, shape)
    values[random.random(shape) < 0.05] = 0
    return torch.from_numpy(values).to(dtype)


def scale_name(layout, name):
    if layout == "comfyui":
        return name.removesuffix("weight") + "scale_weight"
    return name + SCALE[layout]


@pytest.mark.parametrize("layout, dtype", [("deepseek", E4M3), ("compressed-tensors", E4M3), ("comfyui", E4M3),
                                           ("comfyui", E5M2)])
@pytest.mark.parametrize("source", [torch.float32, torch.bfloat16, torch.float64])
def test_every_element_and_scale_and_back(kilter, tmp_path, layout, dtype, source):
    tensors = {"a.weight": rough((256, 384), 1, source), "b.weight": rough((37, 128), 2, source),
               "zero.weight": torch.zeros(128, 128, dtype=source), "tiny.weight": rough((8, 8), 3, source) * 2.0**-100,
               "norm.weight": rough((384,), 4, source), "lm_head.weight": rough((64, 64), 5, source)}
    tensors["a.weight"][130:] = 0  # blocks of zeros beside others
    save_file(tensors, tmp_path / "in.safetensors")
    option = {E4M3: "f8_e4m3", E5M2: "f8_e5m2"}[dtype]
    run = kilter("cast", tmp_path / "in.safetensors", tmp_path / "f8.safetensors", "--dtype", option, "--scales", layout,
                 "--json", status=0).json
    got = load_file(tmp_path / "f8.safetensors")
    block = (128, 128) if layout == "deepseek" else (None, None)
    errors = {row["name"]: row for row in run["tensors"]}
    for name in ("a.weight", "b.weight", "zero.weight", "tiny.weight"):
        narrow, scales = scaled(tensors[name], dtype, *block)
        assert_bits(got[name], narrow, dtype)
        stored = got[scale_name(layout, name)]
        assert stored.dtype == torch.float32 and stored.numel() == scales.size
        np.testing.assert_array_equal(stored.numpy().reshape(scales.shape), scales)
        difference = multiplied(narrow, scales, *block) - as_float64(tensors[name])
        assert errors[name]["largest_error"] == np.abs(difference).max()
        assert errors[name]["rms_error"] == pytest.approx(np.sqrt((difference**2).mean()), rel=1e-9)
    for name in ("norm.weight", "lm_head.weight"):
        assert torch.equal(got[name], tensors[name]) and scale_name(layout, name) not in got
    assert ("scaled_fp8" in got) == (layout == "comfyui")

    kilter("cast", tmp_path / "f8.safetensors", tmp_path / "back.safetensors", "--dtype", "bf16", status=0)
    back = load_file(tmp_path / "back.safetensors")
    assert back.keys() == tensors.keys()
    for name in ("a.weight", "b.weight", "zero.weight", "tiny.weight"):
        assert_bits(back[name], multiplied(*scaled(tensors[name], dtype, *block), *block), torch.bfloat16)
    for path in ("f8", "back"):
        kilter("reproduce", tmp_path / f"{path}.safetensors", tmp_path / f"{path}-again.safetensors", status=0)


def test_the_same_bytes_for_any_threads_and_memory(kilter, tmp_path):
    save_file({"a.weight": rough((2048, 4096), 1), "b.weight": rough((512, 640), 2)}, tmp_path / "in.safetensors")
    made = set()
    for threads, memory in ((1, "64MiB"), (2, "32MiB"), (8, "4GiB")):
        out = tmp_path / f"{threads}.safetensors"
        kilter("cast", tmp_path / "in.safetensors", out, "--dtype", "f8_e4m3", "--scales", "deepseek", "--threads", threads,
               "--max-memory", memory, status=0)
        made.add(out.read_bytes())
    assert len(made) == 1


@pytest.mark.parametrize("name", ["llama", "tied"])
def test_transformers_reads_what_kilter_multiplies_out(kilter, slim_models, tmp_path, name):
    """Without a GPU, transformers multiplies the blocks out itself: bit for bit the same."""
    kilter("cast", slim_models / name, tmp_path / "f8", "--dtype", "f8_e4m3", "--scales", "deepseek", status=0)
    config = json.loads((tmp_path / "f8" / "config.json").read_text())
    assert config["quantization_config"]["quant_method"] == "fp8"
    assert config["quantization_config"]["weight_block_size"] == [128, 128]
    assert "lm_head" in config["quantization_config"]["modules_to_not_convert"]
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "f8", dtype=torch.bfloat16)
    kilter("cast", tmp_path / "f8", tmp_path / "back", "--dtype", "bf16", status=0)
    assert "quantization_config" not in json.loads((tmp_path / "back" / "config.json").read_text())
    back, state = load_all(tmp_path / "back"), model.state_dict()
    assert back.keys() == load_all(slim_models / name).keys()
    for key, tensor in back.items():
        assert torch.equal(tensor, state[key]), key


def test_other_scales_that_are_read(kilter, tmp_path):
    """Rows, bf16 and powers of two, blocks that a config states and that are cut at the border."""
    folder = tmp_path / "in"
    folder.mkdir()
    weight = rough((70, 100), 3).clip(-448, 448).to(E4M3)
    rows, blocks = rough((70, 1), 4, torch.bfloat16), rough((3, 2), 5)
    powers = torch.tensor([[120], [127], [130]], dtype=torch.uint8).expand(3, 2).contiguous().view(torch.float8_e8m0fnu)
    save_file({"rows.weight": weight, "rows.weight_scale": rows, "rows.input_scale": torch.ones(1),
               "blocks.weight": weight.clone(), "blocks.weight_scale_inv": blocks, "one.weight": weight.clone(),
               "one.weight_scale_inv": torch.tensor(0.3), "powers.weight": weight.clone(),
               "powers.weight_scale_inv": powers, "plain.weight": weight.clone()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"quantization_config": {
        "quant_method": "fp8", "weight_block_size": [32, 64]}, "torch_dtype": "bfloat16"}))
    kilter("cast", folder, tmp_path / "out", "--dtype", "f32", status=0)
    got, values = load_all(tmp_path / "out"), as_float64(weight)
    assert set(got) == {"rows.weight", "blocks.weight", "one.weight", "powers.weight", "plain.weight"}
    assert_bits(got["rows.weight"], values * as_float64(rows), torch.float32)
    assert_bits(got["blocks.weight"], multiplied(values, as_float64(blocks), 32, 64), torch.float32)
    assert_bits(got["one.weight"], values * np.float64(np.float32(0.3)), torch.float32)
    powers = np.array([[2.0**-7] * 2, [1.0] * 2, [8.0] * 2])
    assert_bits(got["powers.weight"], multiplied(values, powers, 32, 64), torch.float32)
    assert_bits(got["plain.weight"], values, torch.float32)


def test_from_one_layout_to_another(kilter, tmp_path):
    save_file({"a.weight": rough((128, 256), 1)}, tmp_path / "in.safetensors")
    kilter("cast", tmp_path / "in.safetensors", tmp_path / "blocks.safetensors", "--dtype", "f8_e4m3", "--scales",
           "deepseek:64x64", status=0)
    blocks = load_file(tmp_path / "blocks.safetensors")
    kilter("cast", tmp_path / "blocks.safetensors", tmp_path / "one.safetensors", "--dtype", "f8_e4m3", "--scales",
           "comfyui", status=3)  # nothing says that blocks are of 64 x 64
    kilter("cast", tmp_path / "in.safetensors", tmp_path / "blocks.safetensors", "--dtype", "f8_e4m3", "--scales",
           "deepseek", "--force", status=0)
    blocks = load_file(tmp_path / "blocks.safetensors")
    kilter("cast", tmp_path / "blocks.safetensors", tmp_path / "one.safetensors", "--dtype", "f8_e4m3", "--scales",
           "comfyui", status=0)
    values = torch.from_numpy(multiplied(as_float64(blocks["a.weight"]), blocks["a.weight_scale_inv"].numpy(), 128, 128))
    narrow, scales = scaled(values, E4M3)
    got = load_file(tmp_path / "one.safetensors")
    assert_bits(got["a.weight"], narrow, E4M3)
    assert got["a.scale_weight"].item() == scales.item() and "a.weight_scale_inv" not in got


def test_keep_rules_first_and_sides_that_are_no_blocks(kilter, tmp_path):
    save_file({"a.weight": rough((192, 128), 1), "b.weight": rough((128, 128), 2), "c.weight": rough((128, 128), 3),
               "lm_head.weight": rough((128, 128), 4)}, tmp_path / "in.safetensors")
    run = kilter("cast", tmp_path / "in.safetensors", tmp_path / "out.safetensors", "--dtype", "f8_e4m3", "--scales",
                 "deepseek", "--keep", "b.*=bf16", "--keep", "lm_head*=f8_e4m3", "--json", status=0).json
    got = load_file(tmp_path / "out.safetensors")
    assert {name: tensor.dtype for name, tensor in got.items() if name.endswith("weight")} == {
        "a.weight": torch.float32, "b.weight": torch.bfloat16, "c.weight": E4M3, "lm_head.weight": E4M3}
    reasons = {row["name"]: row.get("reason", "") for row in run["tensors"]}
    assert "whole blocks" in reasons["a.weight"]
    kilter("cast", tmp_path / "in.safetensors", tmp_path / "small.safetensors", "--dtype", "f8_e4m3", "--scales",
           "deepseek:64x64", status=0)
    assert load_file(tmp_path / "small.safetensors")["a.weight_scale_inv"].shape == (3, 2)


@pytest.mark.parametrize("tensors, options, said", [
    ({"a.weight": torch.ones(2, 2)}, ["--dtype", "bf16", "--scales", "deepseek"], "do not go with this dtype"),
    ({"a.weight": torch.ones(2, 2)}, ["--dtype", "f8_e5m2", "--scales", "deepseek"], "f8_e4m3"),
    ({"a.weight": torch.ones(2, 2)}, ["--dtype", "f8_e4m3", "--scales", "deepsek"], "does not know"),
    ({"a.weight": torch.ones(2, 2)}, ["--dtype", "f8_e4m3", "--scales", "comfyui:2x2"], "deepseek:64x64"),
    ({"norm": torch.ones(4)}, ["--dtype", "f8_e4m3", "--scales", "deepseek"], "no tensor would get scales"),
    ({"a.weight": torch.tensor([[1.0, float("nan")]])}, ["--dtype", "f8_e4m3", "--scales", "deepseek"], "NaN"),
    ({"a.weight": torch.ones(2, 2).char(), "a.weight_scale": torch.ones(1)}, ["--dtype", "f32"], "are no f8"),
    ({"a.weight": torch.ones(2, 2).to(E4M3), "a.weight_scale": torch.ones(3)}, ["--dtype", "f32"], "does not fit"),
    ({"a.weight": torch.ones(2, 2).to(E4M3), "a.weight_scale": torch.tensor([float("inf")])}, ["--dtype", "f32"],
     "NaN or infinite"),
    ({"a.weight_packed": torch.ones(2, 2).int(), "a.weight_scale": torch.ones(1)}, ["--dtype", "f32"], "not read"),
])
def test_what_is_refused_leaves_nothing(kilter, tmp_path, tensors, options, said):
    save_file(tensors, tmp_path / "in.safetensors")
    run = kilter("cast", tmp_path / "in.safetensors", tmp_path / "out.safetensors", *options)
    assert run.status in (2, 3) and said in run.err, run
    assert [path.name for path in tmp_path.iterdir()] == ["in.safetensors"]


def test_comfyui_scales_the_diffusion_model_of_a_full_checkpoint(kilter, tmp_path):
    save_file({"model.diffusion_model.a.weight": rough((16, 16), 1), "first_stage_model.b.weight": rough((16, 16), 2)},
              tmp_path / "in.safetensors")
    kilter("cast", tmp_path / "in.safetensors", tmp_path / "out.safetensors", "--dtype", "f8_e4m3", "--scales", "comfyui",
           status=0)
    got = load_file(tmp_path / "out.safetensors")
    assert got["model.diffusion_model.scaled_fp8"].dtype == E4M3 and got["first_stage_model.b.weight"].dtype == torch.float32
    assert got["model.diffusion_model.a.scale_weight"].shape == ()


@pytest.mark.parametrize("target", ["out.pt", "out.npz", "shards/"])
def test_other_targets_and_dry_run(kilter, tmp_path, target):
    save_file({"a.weight": rough((256, 128), 1), "b.weight": rough((128, 384), 2)}, tmp_path / "in.safetensors")
    options = ["--dtype", "f8_e4m3", "--scales", "deepseek"]
    more = ["--max-shard-size", "40KB"] if target == "shards/" else []
    kilter("cast", tmp_path / "in.safetensors", tmp_path / "plain.safetensors", *options, status=0)
    dry = kilter("cast", tmp_path / "in.safetensors", tmp_path / target, *options, *more, "--dry-run", "--json", status=0).json
    assert len(list(tmp_path.iterdir())) == 2
    run = kilter("cast", tmp_path / "in.safetensors", tmp_path / target, *options, *more, "--json", status=0).json
    assert dry["files"] == run["files"]
    kilter("cast", tmp_path / target.rstrip("/"), tmp_path / "back.safetensors", "--dtype", "f32", status=0)
    kilter("cast", tmp_path / "plain.safetensors", tmp_path / "wanted.safetensors", "--dtype", "f32", status=0)
    back, wanted = load_file(tmp_path / "back.safetensors"), load_file(tmp_path / "wanted.safetensors")
    assert back.keys() == wanted.keys() and all(torch.equal(back[name], wanted[name]) for name in wanted)


def test_blends_refuse_scaled_inputs(kilter, tmp_path):
    save_file({"a.weight": rough((16, 16), 1)}, tmp_path / "in.safetensors")
    kilter("cast", tmp_path / "in.safetensors", tmp_path / "f8.safetensors", "--dtype", "f8_e4m3", "--scales", "comfyui",
           status=0)
    run = kilter("average", tmp_path / "f8.safetensors", tmp_path / "f8.safetensors", "-o", tmp_path / "out.safetensors",
                 status=3)
    assert "a.weight" in run.err and "kilter cast" in run.err and not (tmp_path / "out.safetensors").exists()


def test_memory_stays_small(kilter, tmp_path):
    """The rounding of f8 in float64 must not be done on whole tensors."""
    assert rounded(np.array([464.0]), E4M3)[0] == 448.0
    save_file({"a.weight": torch.randn(8192, 8192)}, tmp_path / "in.safetensors")
    run = kilter("cast", tmp_path / "in.safetensors", tmp_path / "out.safetensors", "--dtype", "f8_e4m3", "--scales",
                 "deepseek", "--max-memory", "64MiB", status=0, prefix=["/usr/bin/time", "-f", "%M"])
    assert int(run.err.strip().splitlines()[-1]) < 128 << 10, run.err
