"""kilter adapter resize and combine, against numpy and against PEFT's add_weighted_adapter."""

import json

import factor_models
import numpy as np
import peft
import pytest
import torch
from factor_models import ATTENTION
from safetensors.torch import load_file, save_file


@pytest.fixture
def two(tmp_path):
    """Two PEFT adapters of ranks 6 and 4, alphas 12 and 2, on the same modules."""
    return (factor_models.write_peft(tmp_path / "a", factor_models.random_factors(1, 6, ATTENTION), 12),
            factor_models.write_peft(tmp_path / "b", factor_models.random_factors(2, 4, ATTENTION), 2))


def values_of(matrix):
    return np.linalg.svd(matrix, compute_uv=False)


# ---- resize


def test_resize_is_the_best_of_its_rank(kilter, two, tmp_path):
    report = kilter("adapter", "resize", two[0], tmp_path / "small", "--rank", 3, "--json", status=0).json
    before, after = factor_models.differences(two[0]), factor_models.differences(tmp_path / "small")
    assert before.keys() == after.keys()
    for module in report["modules"]:
        wanted, got = before[module["name"]], after[module["name"]]
        error = np.linalg.norm(wanted - got)
        assert error == pytest.approx(factor_models.best_error(wanted, 3), rel=1e-5)
        assert module["error"] == pytest.approx(error, rel=1e-5)
        assert module["next_value"] == pytest.approx(values_of(wanted)[3], rel=1e-6)
        assert (module["rank"], module["rank_before"]) == (3, 6)
    down, up, scale = factor_models.read_adapter(tmp_path / "small")["model.layers.0.self_attn.q_proj"]
    assert down.shape == (3, 32) and up.shape == (32, 3) and scale == 1


def test_resize_to_the_same_rank_changes_rounding_alone(kilter, two, tmp_path):
    report = kilter("adapter", "resize", two[0], tmp_path / "same", "--rank", 6, "--json", status=0).json
    assert report["relative_error"] < 1e-6
    before, after = factor_models.differences(two[0]), factor_models.differences(tmp_path / "same")
    for path, wanted in before.items():
        np.testing.assert_allclose(after[path], wanted, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize(("rule", "count"), [
    (["--energy", "0.8"], lambda s: np.searchsorted(np.cumsum(s**2) / (s**2).sum(), 0.8) + 1),
    (["--sv-fro", "0.9"], lambda s: np.searchsorted(np.cumsum(s**2) / (s**2).sum(), 0.81) + 1),
    (["--sv-cumulative", "0.7"], lambda s: np.searchsorted(np.cumsum(s) / s.sum(), 0.7) + 1),
    (["--sv-ratio", "1.7"], lambda s: (s >= s[0] / 1.7).sum()),
    (["--energy", "0.99", "--rank", 2], lambda s: 2),
])
def test_resize_by_singular_values(kilter, two, tmp_path, rule, count):
    report = kilter("adapter", "resize", two[0], tmp_path / "small", *rule, "--json", status=0).json
    wanted = factor_models.differences(two[0])
    for module in report["modules"]:
        assert module["rank"] == count(values_of(wanted[module["name"]])[:6]), module
    made = factor_models.read_adapter(tmp_path / "small")
    assert {m["name"]: m["rank"] for m in report["modules"]} == {path: len(down) for path, (down, _, _) in made.items()}


def test_resize_folds_the_scale_of_rank_stabilized_adapters(kilter, tmp_path):
    source = factor_models.write_peft(tmp_path / "rs", factor_models.random_factors(3, 4, ATTENTION), 8, use_rslora=True)
    wanted = factor_models.differences(source)
    kilter("adapter", "resize", source, tmp_path / "small", "--rank", 4, status=0)
    for path, made in factor_models.differences(tmp_path / "small").items():
        np.testing.assert_allclose(made, wanted[path], rtol=1e-4, atol=1e-4)


def kohya_file(path, dtype=torch.float16):
    generator = torch.Generator().manual_seed(4)
    tensors = {}
    for module, (rows, columns) in {"lora_unet_input_blocks_1_0_in_layers_2": ((8,), (6, 3, 3)),
                                    "lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q": ((8,), (10,))}.items():
        tensors[module + ".lora_down.weight"] = torch.randn(4, *columns, generator=generator).to(dtype)
        tensors[module + ".lora_up.weight"] = torch.randn(*rows, 4, *(1 for _ in columns[1:]), generator=generator).to(dtype)
        tensors[module + ".alpha"] = torch.tensor(2.0).to(dtype)
    save_file(tensors, path)
    return path


def test_resize_keeps_naming_shape_and_dtype_of_kohyas_files(kilter, tmp_path):
    source = kohya_file(tmp_path / "k.safetensors")
    kilter("adapter", "resize", source, tmp_path / "small.safetensors", "--rank", 2, status=0)
    before, after = load_file(source), load_file(tmp_path / "small.safetensors")
    assert before.keys() == after.keys()
    for name in before:
        if not name.endswith(".lora_down.weight"):
            continue
        up = name.replace("down", "up")
        assert after[name].dtype == torch.float16 and after[name].shape == (2, *before[name].shape[1:])
        assert after[up].shape == (8, 2, *before[up].shape[2:])
        wanted = 0.5 * before[up].double().reshape(8, 4) @ before[name].double().reshape(4, -1)
        made = after[up].double().reshape(8, 2) @ after[name].double().reshape(2, -1)
        assert float((wanted - made).norm()) == pytest.approx(factor_models.best_error(wanted.numpy(), 2), rel=1e-2)


def test_resize_refuses_what_is_no_plain_lora(kilter, two, tmp_path):
    tensors = load_file(two[0] / "adapter_model.safetensors")
    tensors["base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector"] = torch.ones(32)
    save_file(tensors, two[0] / "adapter_model.safetensors")
    config = json.loads((two[0] / "adapter_config.json").read_text())
    (two[0] / "adapter_config.json").write_text(json.dumps(config | {"use_dora": True}))
    run = kilter("adapter", "resize", two[0], tmp_path / "out", "--rank", 2, status=2)
    assert "q_proj" in run.err and "DoRA" in run.err
    save_file({"lora_unet_a.hada_w1_a": torch.ones(4, 2), "lora_unet_a.hada_w1_b": torch.ones(2, 4),
               "lora_unet_a.hada_w2_a": torch.ones(4, 2), "lora_unet_a.hada_w2_b": torch.ones(2, 4)},
              tmp_path / "loha.safetensors")
    run = kilter("adapter", "resize", tmp_path / "loha.safetensors", tmp_path / "out.safetensors", "--rank", 2, status=2)
    assert "loha" in run.err
    assert "which rank" in kilter("adapter", "resize", two[1], tmp_path / "out", status=2).err
    assert not (tmp_path / "out").exists()


def test_resize_is_made_again_from_its_recipe(kilter, two, tmp_path):
    kilter("adapter", "resize", two[0], tmp_path / "small", "--sv-ratio", "2", "--rank", 5, "--dtype", "bf16", status=0)
    assert kilter("reproduce", tmp_path / "small", tmp_path / "again", "--json", status=0).json["same"]


# ---- combine


def peft_combined(tmp_path, adapters, weights, how, **options):
    """{module: difference} that PEFT's add_weighted_adapter makes of them."""
    base = factor_models.make_llama()
    model = peft.PeftModel.from_pretrained(base, adapters[0], adapter_name="0")
    for i, adapter in enumerate(adapters[1:], 1):
        model.load_adapter(adapter, adapter_name=str(i))
    model.add_weighted_adapter([str(i) for i in range(len(adapters))], weights, "mix", combination_type=how, **options)
    return {path: model.base_model.model.get_submodule(path).get_delta_weight("mix").double().detach().numpy()
            for path in ATTENTION}


def weighted_sum(adapters, weights):
    parts = [factor_models.differences(adapter) for adapter in adapters]
    return {path: sum(w * part[path] for w, part in zip(weights, parts)) for path in parts[0]}


def assert_close(made, wanted, tolerance=1e-5):
    assert made.keys() == wanted.keys()
    for path, matrix in wanted.items():
        assert np.abs(made[path] - matrix).max() <= tolerance * np.abs(matrix).max(), path


@pytest.mark.parametrize("weights", [(0.7, 1.3), (1.0, -0.5)])
def test_cat_is_the_exact_sum_as_in_peft(kilter, two, tmp_path, weights):
    text = ",".join(map(str, weights))
    report = kilter("adapter", "combine", *two, f"--weights={text}", "-o", tmp_path / "mix", "--json", status=0).json
    made = factor_models.differences(tmp_path / "mix")
    assert_close(made, weighted_sum(two, weights))
    assert_close(made, peft_combined(tmp_path, two, weights, "cat"))
    assert report["relative_error"] < 1e-6
    assert {module["rank"] for module in report["modules"]} == {10}


def test_svd_is_the_best_of_the_sum_as_in_peft(kilter, two, tmp_path):
    report = kilter("adapter", "combine", *two, "-w", "0.7,1.3", "--how", "svd", "-o", tmp_path / "mix", "--json",
                    status=0).json
    made = factor_models.differences(tmp_path / "mix")
    assert_close(made, peft_combined(tmp_path, two, (0.7, 1.3), "svd"), 1e-4)
    for module in report["modules"]:
        wanted = weighted_sum(two, (0.7, 1.3))[module["name"]]
        assert module["rank"] == 6  # the larger one's
        assert module["error"] == pytest.approx(factor_models.best_error(wanted, 6), rel=1e-5)
    report = kilter("adapter", "combine", *two, "--how", "svd", "--rank", 10, "-o", tmp_path / "all", "--json", status=0).json
    assert report["relative_error"] < 1e-6


def test_linear_is_pefts_and_says_by_how_much_it_misses_the_sum(kilter, tmp_path):
    adapters = [factor_models.write_peft(tmp_path / str(seed), factor_models.random_factors(seed, 4, ATTENTION), 8)
                for seed in (1, 2)]
    weights = (0.7, -0.4)
    report = kilter("adapter", "combine", *adapters, "--weights=0.7,-0.4", "--how", "linear", "-o", tmp_path / "mix", "--json",
                    status=0).json
    made = factor_models.differences(tmp_path / "mix")
    assert_close(made, peft_combined(tmp_path, adapters, list(weights), "linear"))
    wanted = weighted_sum(adapters, weights)
    for module in report["modules"]:
        error = np.linalg.norm(wanted[module["name"]] - made[module["name"]])
        assert module["error"] == pytest.approx(error, rel=1e-5) and error > 0.1 * module["norm"]


def trimmed(matrix, density):
    """The largest magnitudes of binary32 differences."""
    values = matrix.astype(np.float32)
    keep = int(density * values.size)
    threshold = np.sort(np.abs(values).ravel())[-keep]
    return np.where(np.abs(values) >= threshold, values, 0).astype(np.float64)


def ties(parts, weights):
    total = sum(w * part for w, part in zip(weights, parts))
    sign = np.where(total >= 0, 1, -1)
    agree = [(part != 0) & (np.sign(part) == sign) for part in parts]
    kept = sum(w * part * a for w, part, a in zip(weights, parts, agree))
    count = sum(w * a for w, a in zip(weights, agree))
    return np.where(count == 0, 0, kept / np.where(count == 0, 1, count))


@pytest.mark.parametrize("how", ["ties", "magnitude_prune"])
def test_trimming_is_of_the_differences_themselves(kilter, two, tmp_path, how):
    weights, density = (0.7, 1.3), 0.3
    options = ("-w", "0.7,1.3", "--how", how, "--density", density, "--json")
    report = kilter("adapter", "combine", *two, *options, "--rank", 32, "-o", tmp_path / "mix", status=0).json
    assert report["relative_error"] < 1e-5
    made = factor_models.differences(tmp_path / "mix")
    deltas = [factor_models.differences(adapter) for adapter in two]
    wanted = {}
    for path in made:
        parts = [trimmed(delta[path], density) for delta in deltas]
        wanted[path] = ties(parts, weights) if how == "ties" else sum(w * part for w, part in zip(weights, parts))
    assert_close(made, wanted)
    report = kilter("adapter", "combine", *two, *options, "-o", tmp_path / "cut", status=0).json
    for module in report["modules"]:
        assert module["rank"] == 6
        assert module["error"] == pytest.approx(factor_models.best_error(wanted[module["name"]], 6), rel=1e-2)


def test_dare_keeps_a_share_and_rescales_it(kilter, two, tmp_path):
    options = ("-w", "1,0", "--how", "dare_linear", "--density", "0.25", "--rank", 32)
    kilter("adapter", "combine", *two, *options, "-o", tmp_path / "mix", status=0)
    made, delta = factor_models.differences(tmp_path / "mix"), factor_models.differences(two[0])
    kept = 0
    for path, wanted in delta.items():
        share = made[path] / wanted
        here = np.abs(share - 4) < 0.05
        assert (here | (np.abs(made[path]) < 1e-3)).all(), path
        kept += here.sum()
    total = sum(matrix.size for matrix in delta.values())
    assert abs(kept / total - 0.25) < 4 * (0.25 * 0.75 / total) ** 0.5 + 0.01
    kilter("adapter", "combine", *two, *options, "-o", tmp_path / "again", "--threads", 1, status=0)
    kilter("adapter", "combine", *two, *options, "-o", tmp_path / "other", "--seed", 1, status=0)
    files = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("mix", "again", "other")]
    assert files[0] == files[1] != files[2]


@pytest.mark.parametrize("how", ["dare_linear", "dare_ties", "ties", "magnitude_prune"])
def test_density_one_drops_nothing(kilter, two, tmp_path, how):
    kilter("adapter", "combine", *two, "--how", how, "--density", 1, "--rank", 32, "-o", tmp_path / "mix", status=0)
    deltas = [factor_models.differences(adapter) for adapter in two]
    made = factor_models.differences(tmp_path / "mix")
    for path in made:
        parts = [delta[path] for delta in deltas]
        wanted = sum(parts)
        if how == "ties":
            wanted = ties(parts, (1, 1))
        elif how == "dare_ties":
            wanted = sum(np.where(np.sign(part) == np.sign(wanted), part, 0) for part in parts)
        assert np.abs(made[path] - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_modules_that_only_one_has_and_namings_that_differ(kilter, tmp_path):
    some = {path: shape for path, shape in ATTENTION.items() if "q_proj" in path}
    first = factor_models.write_peft(tmp_path / "a", factor_models.random_factors(1, 3, some), 3)
    second = factor_models.write_peft(tmp_path / "b", factor_models.random_factors(2, 2, ATTENTION), 4)
    kilter("adapter", "combine", first, second, "-o", tmp_path / "mix", status=0)
    made, a, b = (factor_models.differences(tmp_path / name) for name in ("mix", "a", "b"))
    assert_close(made, {path: b[path] + a.get(path, 0) for path in ATTENTION})
    source = kohya_file(tmp_path / "k.safetensors", torch.float32)
    kilter("adapter", "combine", source, source, "-w", "1,-1", "--how", "svd", "--rank", 2, "-o", tmp_path / "no.safetensors",
           status=2)  # nothing is left
    kilter("adapter", "combine", source, source, "-w", "1,2", "--how", "svd", "--rank", 4, "-o", tmp_path / "k3.safetensors",
           status=0)
    before, after = load_file(source), load_file(tmp_path / "k3.safetensors")
    for name in before:
        if name.endswith("lora_down.weight"):
            up = name.replace("down", "up")
            wanted = 3 * 0.5 * before[up].reshape(8, 4) @ before[name].reshape(4, -1)
            assert torch.allclose(after[up].reshape(8, 4) @ after[name].reshape(4, -1), wanted, atol=1e-4)


def test_combine_refuses_what_does_not_fit(kilter, two, tmp_path):
    other = factor_models.write_peft(tmp_path / "c", factor_models.random_factors(
        3, 4, {path: (rows, 48) for path, (rows, _) in ATTENTION.items()}), 4)
    run = kilter("adapter", "combine", two[0], other, "-o", tmp_path / "mix", status=2)
    assert "q_proj" in run.err or "k_proj" in run.err
    assert "48" in run.err and "rank" in run.err
    run = kilter("adapter", "combine", *two, "--how", "linear", "-o", tmp_path / "mix", status=2)
    assert "rank 6" in run.err and "rank 4" in run.err and "--how cat" in run.err
    assert "one weight" in kilter("adapter", "combine", *two, "-w", "1,2,3", "-o", tmp_path / "mix", status=2).err
    kilter("adapter", "combine", two[0], "-o", tmp_path / "mix", status=2)
    kilter("adapter", "combine", *two, "--density", 0, "-o", tmp_path / "mix", status=2)
    kilter("adapter", "combine", *two, status=2)
    assert not (tmp_path / "mix").exists()


@pytest.mark.parametrize("how", ["cat", "svd", "dare_ties"])
def test_combine_is_made_again_from_its_recipe(kilter, two, tmp_path, how):
    kilter("adapter", "combine", *two, "--weights=0.3,-1", "--how", how, "-o", tmp_path / "mix", status=0)
    assert kilter("reproduce", tmp_path / "mix", tmp_path / "again", "--json", status=0).json["same"]
