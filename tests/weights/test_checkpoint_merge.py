"""merge of Stable Diffusion checkpoints as the web UIs do it: block weights, inpainting, VAE, EMA."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from float64 import assert_bits, weighted_sum


def make_checkpoint(seed, sides=12, channels=4, dtype=torch.float32, with_vae=True, with_ema=True):
    """The names of an SD 1 (12 blocks a side) or SDXL (9) file; tensors are small, their values are not."""
    random = torch.Generator().manual_seed(seed)
    unet = {"input_blocks.0.0.weight": (8, channels, 3, 3), "time_embed.0.weight": (4, 8), "out.2.bias": (4,),
            "middle_block.1.proj_in.weight": (4, 4)}
    for i in range(sides):
        if i:
            unet[f"input_blocks.{i}.1.proj_in.weight"] = (5, 3)
        unet[f"output_blocks.{i}.0.in_layers.2.bias"] = (7,)
    shapes = {f"model.diffusion_model.{name}": shape for name, shape in unet.items()}
    shapes["cond_stage_model.transformer.text_model.final_layer_norm.weight"] = (6,)
    if with_vae:
        shapes |= {"first_stage_model.decoder.conv_in.weight": (2, 4, 3, 3), "first_stage_model.quant_conv.bias": (4,)}
    tensors = {name: torch.randn(shape, generator=random).to(dtype) for name, shape in shapes.items()}
    if with_ema:
        for name in [name for name in tensors if name.startswith("model.")]:
            tensors["model_ema." + name.removeprefix("model.").replace(".", "")] = tensors[name] + 1
    return tensors


@pytest.fixture
def models(tmp_path):
    """Writes checkpoints by letter and gives their tensors back."""

    def write(**made):
        for letter, tensors in made.items():
            save_file(tensors, tmp_path / f"{letter}.safetensors")
        return made

    return write


def merged(kilter, folder, *options, status=0, target="out.safetensors"):
    letters = [part for letter in "abc" if (folder / f"{letter}.safetensors").exists()
               for part in (f"--{letter}", folder / f"{letter}.safetensors")]
    kilter("merge", *letters, folder / target, "--force", *options, status=status)
    return load_file(folder / target)


def block_of(name, sides):
    """0 is BASE, then IN, M00, OUT: an account of its own of the mergers' rule."""
    parts = name.removeprefix("model.diffusion_model.").split(".")
    if not name.startswith("model.diffusion_model."):
        return 0
    if parts[0] == "time_embed":
        return 1
    if parts[0] == "out":
        return 2 * sides + 1
    return {"input_blocks": 1, "middle_block": 1 + sides, "output_blocks": 2 + sides}[parts[0]] + (
        int(parts[1]) if parts[0] != "middle_block" else 0)


@pytest.mark.parametrize("sides", [12, 9])
def test_block_weights_as_a_list(kilter, tmp_path, models, sides):
    pair = models(a=make_checkpoint(1, sides), b=make_checkpoint(2, sides))
    weights = [round(0.013 * i, 3) for i in range(2 * sides + 2)]
    out = merged(kilter, tmp_path, "--weighted", "0.5", "--block-weights", ",".join(map(str, weights)))
    assert out.keys() == {name for name in pair["a"] if not name.startswith("model_ema.")}
    for name, tensor in out.items():
        m = weights[block_of(name, sides)]
        assert_bits(tensor, weighted_sum([pair["a"][name], pair["b"][name]], [1 - m, m]), torch.float32)
    kilter("reproduce", tmp_path / "out.safetensors", tmp_path / "again.safetensors", status=0)


def test_block_weights_of_a_difference_and_by_name(kilter, tmp_path, models):
    three = models(a=make_checkpoint(1), b=make_checkpoint(2), c=make_checkpoint(3))
    out = merged(kilter, tmp_path, "--add-difference", "1", "--block-weights", "BASE=0,IN=0.25,VAE=0.5")
    for name, tensor in out.items():
        block = block_of(name, 12)
        m = 0.5 if name.startswith("first_stage") else 0 if block == 0 else 0.25 if block <= 12 else 1
        assert_bits(tensor, weighted_sum([one[name] for one in three.values()], [1, m, -m]), torch.float32)


def test_block_weights_that_do_not_fit_are_refused(kilter, tmp_path, models):
    models(a=make_checkpoint(1, sides=9), b=make_checkpoint(2, sides=9))
    for text, said in (("0.1,0.2", "2 numbers"), ("IN11=1", "IN11"), ("GRAD_Z", "GRAD_V")):
        run = kilter("merge", "--a", tmp_path / "a.safetensors", "--b", tmp_path / "b.safetensors", "--weighted", "0.5",
                     "--block-weights", text, tmp_path / "out.safetensors")
        assert run.status == 2 and said in run.err
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("dtypes", [(torch.float32, torch.float32), (torch.float32, torch.float16),
                                    (torch.float16, torch.bfloat16)])
def test_an_inpainting_model_takes_its_first_four_channels_from_the_blend(kilter, tmp_path, models, dtypes):
    wide, narrow = dtypes
    three = models(a=make_checkpoint(1, channels=9, dtype=wide), b=make_checkpoint(2, dtype=narrow),
                   c=make_checkpoint(3, dtype=narrow))
    options = [] if wide == narrow else ["--allow", "dtype"]
    out = merged(kilter, tmp_path, "--add-difference", "0.7", *options)
    name = "model.diffusion_model.input_blocks.0.0.weight"
    first = three["a"][name]
    assert_bits(out[name][:, :4], weighted_sum([first[:, :4], three["b"][name], three["c"][name]], [1, 0.7, -0.7]), wide)
    assert torch.equal(out[name][:, 4:], first[:, 4:])


def test_a_plain_first_model_and_an_inpainting_second_do_not_fit(kilter, tmp_path, models):
    models(a=make_checkpoint(1), b=make_checkpoint(2, channels=9))
    run = kilter("merge", "--a", tmp_path / "a.safetensors", "--b", tmp_path / "b.safetensors", "--weighted", "0.5",
                 tmp_path / "out.safetensors")
    assert run.status == 2 and "input_blocks.0.0.weight" in run.err and "[8, 9, 3, 3]" in run.err


@pytest.mark.parametrize("prefix", ["", "first_stage_model."])
@pytest.mark.parametrize("has_vae", [True, False])
def test_a_vae_is_baked_in(kilter, tmp_path, models, prefix, has_vae):
    pair = models(a=make_checkpoint(1, with_vae=has_vae), b=make_checkpoint(2, with_vae=has_vae))
    vae = {name.removeprefix("first_stage_model."): tensor.to(torch.bfloat16)
           for name, tensor in make_checkpoint(5).items() if name.startswith("first_stage_model.")}
    save_file({prefix + name: tensor for name, tensor in vae.items()}, tmp_path / "vae.safetensors")
    out = merged(kilter, tmp_path, "--weighted", "0.25", "--vae", tmp_path / "vae.safetensors")
    for name, tensor in vae.items():
        wanted = tensor.float() if has_vae else tensor
        assert torch.equal(out["first_stage_model." + name], wanted)
    name = "model.diffusion_model.out.2.bias"
    assert_bits(out[name], weighted_sum([pair["a"][name], pair["b"][name]], [0.75, 0.25]), torch.float32)
    kilter("reproduce", tmp_path / "out.safetensors", tmp_path / "again.safetensors", status=0)


def test_a_vae_of_another_layout_is_refused(kilter, tmp_path, models):
    models(a=make_checkpoint(1), b=make_checkpoint(2))
    save_file({"decoder.up_blocks.0.resnets.0.conv1.bias": torch.ones(3)}, tmp_path / "vae.safetensors")
    run = kilter("merge", "--a", tmp_path / "a.safetensors", "--b", tmp_path / "b.safetensors", "--weighted", "0.5",
                 "--vae", tmp_path / "vae.safetensors", tmp_path / "out.safetensors")
    assert run.status == 2 and "first_stage_model.decoder.conv_in.weight" in run.err and "vae.safetensors" in run.err


def test_averaged_weights_are_dropped_kept_or_used(kilter, tmp_path, models):
    pair = models(a=make_checkpoint(1), b=make_checkpoint(2))
    name, ema = "model.diffusion_model.out.2.bias", "model_ema.diffusion_modelout2bias"
    dropped = merged(kilter, tmp_path, "--weighted", "0.25")
    assert ema not in dropped
    kept = merged(kilter, tmp_path, "--weighted", "0.25", "--ema", "keep", "--block-weights", "OUT=1")
    for one in (name, ema):  # the average goes with its block
        assert torch.equal(kept[one], pair["b"][one])
    assert kept.keys() == pair["a"].keys()
    used = merged(kilter, tmp_path, "--weighted", "0.25", "--ema", "use")
    assert_bits(used[name], weighted_sum([one[ema] for one in pair.values()], [0.75, 0.25]), torch.float32)
    assert used.keys() == dropped.keys()
    kilter("reproduce", tmp_path / "out.safetensors", tmp_path / "again.safetensors", status=0)


def test_only_one_model_has_averages(kilter, tmp_path, models):
    """Full and pruned files of one model: what is dropped needs no counterpart."""
    pair = models(a=make_checkpoint(1), b=make_checkpoint(2, with_ema=False))
    out = merged(kilter, tmp_path, "--weighted", "0.5", "--ema", "use")
    name = "model.diffusion_model.out.2.bias"
    assert_bits(out[name], weighted_sum([pair["a"][name] + 1, pair["b"][name]], [0.5, 0.5]), torch.float32)


def test_lightning_container_and_discard(kilter, tmp_path, models):
    a, b = make_checkpoint(1), make_checkpoint(2)
    torch.save({"state_dict": a, "global_step": 7}, tmp_path / "a.ckpt")
    save_file(b, tmp_path / "b.safetensors")
    run = kilter("merge", "--a", tmp_path / "a.ckpt", "--b", tmp_path / "b.safetensors", "--weighted", "0.5",
                 "--discard", "first_stage_model.*", "--half", tmp_path / "out.safetensors", "--json", status=0).json
    out = load_file(tmp_path / "out.safetensors")
    assert all(tensor.dtype == torch.float16 for tensor in out.values())
    assert not any(name.startswith(("first_stage_model.", "model_ema.")) for name in out)
    assert {row["fate"] for row in run["tensors"] if "model_ema" in row["name"]} == {"dropped"}
    recipe = json.loads(_recipe(tmp_path / "out.safetensors"))
    assert recipe["discard"] == ["first_stage_model.*"]
    run = kilter("merge", "--a", tmp_path / "a.ckpt", "--b", tmp_path / "b.safetensors", "--weighted", "0.5",
                 "--discard", "nothing.*", tmp_path / "new.safetensors")
    assert run.status == 2 and "nothing.*" in run.err


def _recipe(path):
    import safetensors

    with safetensors.safe_open(path, "pt") as file:
        return file.metadata()["kilter.recipe"]
