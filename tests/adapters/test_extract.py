"""kilter adapter extract, against the best factors there are and against PEFT."""

import json

import factor_models
import numpy as np
import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders: base; falling (all of it changed, singular values 1/i); exact (rank 4 added to projections)."""
    folder = tmp_path_factory.mktemp("models")
    base = factor_models.make_llama()
    base.save_pretrained(folder / "base")
    factor_models.tuned_from(base, factor_models.falling_spectrum).save_pretrained(folder / "falling")
    factor_models.tuned_from(base, factor_models.low_rank(4)).save_pretrained(folder / "exact")
    return folder


def state(folder):
    return load_file(folder / "model.safetensors")


def difference(models, tuned, name):
    return (state(models / tuned)[name].double() - state(models / "base")[name].double()).numpy()


def test_peft_merges_it_as_near_as_the_best_factors(kilter, models, tmp_path):
    kilter("adapter", "extract", models / "falling", models / "base", tmp_path / "lora", "--rank", 8, status=0)
    base = transformers.AutoModelForCausalLM.from_pretrained(models / "base")
    merged = peft.PeftModel.from_pretrained(base, tmp_path / "lora").merge_and_unload().state_dict()
    tuned = state(models / "falling")
    layers = [name for name in tuned if name.endswith("proj.weight") or name == "lm_head.weight"]
    assert len(layers) == 15
    for name in layers:
        error = float((merged[name].double() - tuned[name].double()).norm())
        best = factor_models.best_error(difference(models, "falling", name), 8)
        assert best * (1 - 1e-4) <= error <= best * 1.01, name


def test_states_the_error_of_what_it_wrote(kilter, models, tmp_path):
    for dtype in ("f32", "bf16"):
        folder = tmp_path / dtype
        report = kilter("adapter", "extract", models / "falling", models / "base", folder, "--rank", 8, "--dtype", dtype,
                        "--json", status=0).json
        made = factor_models.differences(folder)
        assert len(report["modules"]) == len(made) == 15
        squares = 0
        for module in report["modules"]:
            wanted = difference(models, "falling", module["name"])
            error = np.linalg.norm(wanted - made[module["name"].removesuffix(".weight")])
            assert module["error"] == pytest.approx(error, rel=1e-6)
            assert module["norm"] == pytest.approx(np.linalg.norm(wanted), rel=1e-6)
            assert module["rank"] == 8
            squares += error**2
        assert report["error"] == pytest.approx(squares**0.5, rel=1e-6)


def test_finds_a_merged_adapter_again(kilter, models, tmp_path):
    report = kilter("adapter", "extract", models / "exact", models / "base", tmp_path / "lora", "--energy", "0.9999999",
                    "--json", status=0).json
    assert {module["rank"] for module in report["modules"]} == {4}
    assert len(report["modules"]) == 14
    assert report["relative_error"] < 1e-6
    assert report["left_out"]["tensors"] == 0
    for path, made in factor_models.differences(tmp_path / "lora").items():
        assert np.abs(made - difference(models, "exact", path + ".weight")).max() < 1e-6


def test_energy_is_what_was_asked_for(kilter, models, tmp_path):
    report = kilter("adapter", "extract", models / "falling", models / "base", tmp_path / "lora", "--energy", "0.9",
                    "--json", status=0).json
    for module in report["modules"]:
        values = np.linalg.svd(difference(models, "falling", module["name"]), compute_uv=False)
        share = np.cumsum(values**2) / (values**2).sum()
        assert module["rank"] == int(np.searchsorted(share, 0.9)) + 1
        assert module["energy"] == pytest.approx(share[module["rank"] - 1], rel=1e-3)


def test_bytes_depend_on_neither_threads_nor_memory(kilter, models, tmp_path):
    files = []
    for options in (["--threads", 1], ["--threads", 2], ["--max-memory", "16MiB"]):
        folder = tmp_path / str(len(files))
        kilter("adapter", "extract", models / "falling", models / "base", folder, "--rank", 5, *options, status=0)
        files.append((folder / "adapter_model.safetensors").read_bytes())
    assert files[0] == files[1] == files[2]


def test_another_seed_is_another_sketch_with_the_same_answer(kilter, models, tmp_path):
    for seed in (0, 1):
        kilter("adapter", "extract", models / "exact", models / "base", tmp_path / str(seed), "--rank", 4, "--seed", seed,
               status=0)
    first, second = (factor_models.differences(tmp_path / name) for name in "01")
    assert all(np.abs(first[path] - second[path]).max() < 1e-6 for path in first)


def test_is_made_again_from_its_recipe(kilter, models, tmp_path):
    kilter("adapter", "extract", models / "falling", models / "base", tmp_path / "lora", "--energy", "0.8", "--rank-max", 20,
           "--modules", "*self_attn*", "--exclude", "k_proj", "--dtype", "bf16", "--split", "up", status=0)
    run = kilter("reproduce", tmp_path / "lora", tmp_path / "again", "--json", status=0)
    assert run.json["same"]
    assert (tmp_path / "lora/adapter_model.safetensors").read_bytes() == (
        tmp_path / "again/adapter_model.safetensors").read_bytes()
    assert (tmp_path / "lora/adapter_config.json").read_bytes() == (tmp_path / "again/adapter_config.json").read_bytes()


def test_takes_the_modules_it_is_told(kilter, models, tmp_path):
    report = kilter("adapter", "extract", models / "falling", models / "base", tmp_path / "lora", "--modules", "*self_attn*",
                    "--exclude", "k_proj", "--exclude", "*.0.*", "--json", status=0).json
    assert [module["name"] for module in report["modules"]] == [
        f"model.layers.1.self_attn.{name}_proj.weight" for name in "oqv"]
    run = kilter("adapter", "extract", models / "falling", models / "base", tmp_path / "none", "--modules", "no_such*",
                 status=2)
    assert "no_such*" in run.err and not (tmp_path / "none").exists()


def test_singular_values_go_where_they_are_told(kilter, models, tmp_path):
    factors = {}
    for split in ("even", "up", "down"):
        kilter("adapter", "extract", models / "falling", models / "base", tmp_path / split, "--rank", 4, "--split", split,
               status=0)
        factors[split] = factor_models.read_adapter(tmp_path / split)["model.layers.0.self_attn.q_proj"]
    norms = {split: (np.linalg.norm(down, axis=1), np.linalg.norm(up, axis=0)) for split, (down, up, _) in factors.items()}
    values = 0.1 / np.arange(1, 5)
    np.testing.assert_allclose(norms["up"][0], 1, rtol=1e-5)
    np.testing.assert_allclose(norms["up"][1], values, rtol=1e-2)
    np.testing.assert_allclose(norms["down"][0], values, rtol=1e-2)
    np.testing.assert_allclose(norms["even"][0], np.sqrt(values), rtol=1e-2)
    np.testing.assert_allclose(norms["even"][1], np.sqrt(values), rtol=1e-2)


def test_what_changed_besides_goes_along_whole_if_asked(kilter, models, tmp_path):
    base = transformers.AutoModelForCausalLM.from_pretrained(models / "base")
    tuned = factor_models.tuned_from(base, lambda name, p, g: torch.randn(p.shape, generator=g) * 0.01)
    tuned.save_pretrained(tmp_path / "tuned")
    run = kilter("adapter", "extract", tmp_path / "tuned", models / "base", tmp_path / "some", "--json", status=0).json
    assert run["left_out"]["tensors"] == 6  # two norms a layer, the last norm, the embedding
    assert {row["name"] for row in run["tensors"] if row["fate"] == "left out"} == {
        name for name, p in tuned.named_parameters() if p.ndim == 1 or "embed" in name}
    kilter("adapter", "extract", tmp_path / "tuned", models / "base", tmp_path / "all", "--rank", 64, "--embeddings", "whole",
           "--others", "whole", status=0)
    merged = peft.PeftModel.from_pretrained(base, tmp_path / "all").merge_and_unload().state_dict()
    for name, parameter in tuned.named_parameters():
        assert torch.allclose(merged[name], parameter, atol=1e-5), name


def test_embeddings_get_factors_if_asked(kilter, models, tmp_path):
    kilter("adapter", "extract", models / "falling", models / "base", tmp_path / "lora", "--rank", 32, "--embeddings",
           "factors", status=0)
    base = transformers.AutoModelForCausalLM.from_pretrained(models / "base")
    merged = peft.PeftModel.from_pretrained(base, tmp_path / "lora").merge_and_unload().state_dict()
    wanted = state(models / "falling")["model.embed_tokens.weight"]
    assert torch.allclose(merged["model.embed_tokens.weight"], wanted, atol=1e-5)


def test_layers_of_gpt2_are_stored_the_other_way_round(kilter, tmp_path):
    torch.manual_seed(3)
    config = transformers.GPT2Config(vocab_size=48, n_positions=16, n_embd=24, n_layer=2, n_head=2)
    base = transformers.GPT2LMHeadModel(config)
    base.save_pretrained(tmp_path / "base")

    def change(name, parameter, generator):
        if parameter.ndim != 2 or "wte" in name or "wpe" in name:
            return None
        return torch.randn(parameter.shape[0], 3, generator=generator) @ torch.randn(
            3, parameter.shape[1], generator=generator) * 0.05

    tuned = factor_models.tuned_from(base, change)
    tuned.save_pretrained(tmp_path / "tuned")
    kilter("adapter", "extract", tmp_path / "tuned", tmp_path / "base", tmp_path / "lora", "--rank", 3, status=0)
    merged = peft.PeftModel.from_pretrained(base, tmp_path / "lora").merge_and_unload().state_dict()
    for name, parameter in tuned.named_parameters():
        assert torch.allclose(merged[name], parameter, atol=1e-6), name


def test_convolutions_of_a_unet_in_kohyas_naming(kilter, tmp_path):
    shapes = {"model.diffusion_model.input_blocks.1.0.in_layers.2.weight": (12, 8, 3, 3),
              "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight": (16, 12),
              "model.diffusion_model.input_blocks.1.1.proj_in.weight": (16, 12, 1, 1)}
    generator = torch.Generator().manual_seed(5)
    base = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    tuned = {name: value + torch.randn(value.shape, generator=generator) * 0.1 for name, value in base.items()}
    save_file(base, tmp_path / "base.safetensors")
    save_file(tuned, tmp_path / "tuned.safetensors")
    kilter("adapter", "extract", tmp_path / "tuned.safetensors", tmp_path / "base.safetensors", tmp_path / "lora.safetensors",
           "--naming", "kohya", "--rank", 16, "--dtype", "f32", status=0)
    made = load_file(tmp_path / "lora.safetensors")
    for name, shape in shapes.items():
        module = "lora_unet_" + name.removeprefix("model.diffusion_model.").removesuffix(".weight").replace(".", "_")
        down, up = made[module + ".lora_down.weight"], made[module + ".lora_up.weight"]
        rank = down.shape[0]
        assert down.shape == (rank, *shape[1:]) and up.shape == (shape[0], rank, *(1 for _ in shape[2:]))
        assert made[module + ".alpha"] == rank
        product = (up.reshape(shape[0], rank) @ down.reshape(rank, -1)).reshape(shape)
        assert torch.allclose(product, tuned[name] - base[name], atol=1e-5), name


def test_mixed_dtypes_and_shards(kilter, models, tmp_path):
    base = transformers.AutoModelForCausalLM.from_pretrained(models / "base").to(torch.bfloat16)
    base.save_pretrained(tmp_path / "half", max_shard_size="20KB")
    report = kilter("adapter", "extract", models / "exact", tmp_path / "half", tmp_path / "lora", "--rank", 32, "--json",
                    status=0).json
    halves = {name: p.double().numpy() for name, p in base.state_dict().items()}
    tuned = state(models / "exact")
    for module in report["modules"]:
        wanted = tuned[module["name"]].double().numpy() - halves[module["name"]]
        assert module["norm"] == pytest.approx(np.linalg.norm(wanted), rel=1e-6)


def test_refuses_models_that_do_not_fit(kilter, models, tmp_path):
    tensors = state(models / "falling")
    wider = dict(tensors)
    wider["lm_head.weight"] = torch.zeros(70, 32)
    save_file(wider, tmp_path / "wider.safetensors")
    run = kilter("adapter", "extract", tmp_path / "wider.safetensors", models / "base", tmp_path / "out", status=2)
    assert "lm_head.weight" in run.err and "[70, 32]" in run.err and "--allow shape" in run.err
    report = kilter("adapter", "extract", tmp_path / "wider.safetensors", models / "base", tmp_path / "out", "--allow", "shape",
                    "--json", status=0).json
    assert next(row for row in report["tensors"] if row["name"] == "lm_head.weight")["fate"] == "left out"
    fewer = {name: value for name, value in tensors.items() if "layers.1" not in name}
    save_file(fewer, tmp_path / "fewer.safetensors")
    run = kilter("adapter", "extract", tmp_path / "fewer.safetensors", models / "base", tmp_path / "gone", status=2)
    assert "--allow missing" in run.err
    run = kilter("adapter", "extract", models / "base", tmp_path / "fewer.safetensors", tmp_path / "gone", status=2)
    assert "--allow extra" in run.err and not (tmp_path / "gone").exists()


def test_refuses_what_is_not_finite_and_what_does_not_differ(kilter, models, tmp_path):
    tensors = state(models / "falling")
    tensors["model.layers.1.mlp.up_proj.weight"][3, 4] = float("nan")
    save_file(tensors, tmp_path / "nan.safetensors")
    run = kilter("adapter", "extract", tmp_path / "nan.safetensors", models / "base", tmp_path / "out", status=3)
    assert "model.layers.1.mlp.up_proj.weight" in run.err and "row 3, column 4" in run.err
    run = kilter("adapter", "extract", models / "base", models / "base", tmp_path / "out", status=2)
    assert "do not differ" in run.err
    run = kilter("adapter", "extract", models / "falling", models / "base", tmp_path / "lora.safetensors", status=2)
    assert "adapter_config.json" in run.err
    for wrong in (["--rank", 0], ["--energy", "1.5"], ["--energy", "0.9", "--rank", 4], ["--rank-max", 4], ["--dtype", "f64"]):
        kilter("adapter", "extract", models / "falling", models / "base", tmp_path / "out", *wrong, status=2)
    assert not (tmp_path / "out").exists()


def test_a_dry_run_states_what_would_be_written(kilter, models, tmp_path):
    command = ["adapter", "extract", models / "falling", models / "base", tmp_path / "lora", "--rank", 6, "--json"]
    planned = kilter(*command, "--dry-run", status=0).json
    assert planned["dry_run"] and not (tmp_path / "lora").exists()
    made = kilter(*command, status=0).json
    assert planned["files"] == made["files"]
    assert {m["name"]: m["rank"] for m in planned["modules"]} == {m["name"]: m["rank"] for m in made["modules"]}
    assert json.loads((tmp_path / "lora/adapter_config.json").read_text())["r"] == 6
