"""prune beside numpy and torch.nn.utils.prune."""

import json

import numpy as np
import pytest
import torch
import torch.nn.utils.prune as torch_prune
import transformers
from safetensors.torch import load_file, save_file

from float64 import as_float64
from slim_reference import load_all, pattern_stays, smallest_go

DTYPES = {"f64": torch.float64, "f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16,
          "f8_e5m2": torch.float8_e5m2, "f8_e4m3": torch.float8_e4m3fn}


def some(shape, dtype, seed):
    """Numbers with many ties, zeros, negative zeros and NaN among them."""
    random = np.random.default_rng(seed)
    values = random.standard_normal(shape)
    values[random.random(shape) < 0.1] = 0
    values[random.random(shape) < 0.02] = -0.0
    values[random.random(shape) < 0.2] = 0.25
    values[random.random(shape) < 0.2] = -0.25
    values[random.random(shape) < 0.01] = np.nan
    return torch.from_numpy(values).to(dtype)


def bits(tensor):
    return tensor.contiguous().view(torch.uint8).numpy()


def assert_pruned(got, before, stays):
    """What stays has its bits, the rest is zero."""
    width = before.element_size()
    kept = np.repeat(stays.reshape(-1), width)
    np.testing.assert_array_equal(bits(got).reshape(-1), np.where(kept, bits(before).reshape(-1), 0))


@pytest.mark.parametrize("dtype", list(DTYPES))
@pytest.mark.parametrize("sparsity", [0, 0.05, 0.3, 0.5, 0.77, 1])
def test_the_smallest_go_and_of_equal_ones_the_later(kilter, tmp_path, dtype, sparsity):
    tensors = {name: some(shape, DTYPES[dtype], seed) for seed, (name, shape) in enumerate(
        {"a.weight": (101, 33), "b.weight": (7, 3), "norm.weight": (40,), "embed_tokens.weight": (20, 20)}.items())}
    save_file(tensors, tmp_path / "in.safetensors")
    run = kilter("prune", tmp_path / "in.safetensors", tmp_path / "out.safetensors", "--sparsity", sparsity, "--mask",
                 tmp_path / "mask.safetensors", "--json", status=0).json
    got, mask = load_file(tmp_path / "out.safetensors"), load_file(tmp_path / "mask.safetensors")
    assert set(mask) == {"a.weight", "b.weight"}
    rows = {row["name"]: row for row in run["tensors"]}
    for name in ("a.weight", "b.weight"):
        values = as_float64(tensors[name]).ravel()
        stays = smallest_go(values, round(sparsity * values.size))
        assert_pruned(got[name], tensors[name], stays)
        assert mask[name].dtype == torch.bool and (mask[name].numpy().ravel() == stays).all()
        assert rows[name]["zeros_before"] == (values == 0).sum()
        assert rows[name]["zeros_after"] == (as_float64(got[name]) == 0).sum()
        finite = np.isfinite(values)
        wanted = np.sqrt((np.where(stays, 0, values)[finite] ** 2).sum() / values.size)
        assert rows[name]["rms_error"] == pytest.approx(wanted, rel=1e-9)
    for name in ("norm.weight", "embed_tokens.weight"):
        np.testing.assert_array_equal(bits(got[name]), bits(tensors[name]))


def test_one_threshold_for_all(kilter, tmp_path):
    tensors = {f"{name}.weight": some((60, 50), torch.bfloat16, seed) * (seed + 1) for seed, name in enumerate("abc")}
    save_file(tensors, tmp_path / "in.safetensors")
    kilter("prune", tmp_path / "in.safetensors", tmp_path / "out.safetensors", "--sparsity", "0.6", "--by", "global",
           status=0)
    got = load_file(tmp_path / "out.safetensors")
    values = np.concatenate([as_float64(tensors[name]).ravel() for name in sorted(tensors)])
    stays = smallest_go(values, round(0.6 * values.size))
    for i, name in enumerate(sorted(tensors)):
        assert_pruned(got[name], tensors[name], stays[i * 3000:(i + 1) * 3000])
    save_file(tensors | {"d.weight": torch.ones(4, 4)}, tmp_path / "mixed.safetensors")
    run = kilter("prune", tmp_path / "mixed.safetensors", tmp_path / "no.safetensors", "-s", "0.5", "--by", "global",
                 status=2)
    assert "one dtype" in run.err and "expected f32, found bf16" in run.err


def test_what_torch_prunes(kilter, tmp_path):
    """Without ties, l1_unstructured and ln_structured leave the same."""
    torch.manual_seed(3)
    weight = torch.randn(48, 64)
    save_file({"a.weight": weight}, tmp_path / "in.safetensors")
    ways = [(["--sparsity", "0.37"], lambda m: torch_prune.l1_unstructured(m, "weight", 0.37)),
            (["--structured", "rows", "--fraction", "0.3"], lambda m: torch_prune.ln_structured(m, "weight", 0.3, 2, 0)),
            (["--structured", "columns", "--fraction", "0.55"],
             lambda m: torch_prune.ln_structured(m, "weight", 0.55, 2, 1))]
    for options, prune in ways:
        module = torch.nn.Linear(64, 48, bias=False)
        module.weight = torch.nn.Parameter(weight.clone())
        prune(module)
        kilter("prune", tmp_path / "in.safetensors", tmp_path / "out.safetensors", *options, "--force", status=0)
        got = load_file(tmp_path / "out.safetensors")["a.weight"]
        assert torch.equal(got, module.weight.detach()), options
        kilter("reproduce", tmp_path / "out.safetensors", tmp_path / "again.safetensors", "--force", status=0)


@pytest.mark.parametrize("pattern", [(2, 4), (1, 4), (4, 8), (1, 3), (0, 2)])
@pytest.mark.parametrize("dtype", ["f32", "bf16", "f8_e4m3"])
def test_patterns(kilter, tmp_path, pattern, dtype):
    keep, group = pattern
    values = torch.nan_to_num(some((50, 24), torch.float64, 5), 0.1).to(DTYPES[dtype])
    save_file({"a.weight": values, "odd.weight": torch.ones(3, 7)}, tmp_path / "in.safetensors")
    run = kilter("prune", tmp_path / "in.safetensors", tmp_path / "out.safetensors", "--pattern", f"{keep}:{group}",
                 "--json", status=0).json
    got = load_file(tmp_path / "out.safetensors")
    assert_pruned(got["a.weight"], values, pattern_stays(as_float64(values), keep, group))
    assert torch.equal(got["odd.weight"], torch.ones(3, 7))
    assert "no multiples" in next(row["reason"] for row in run["tensors"] if row["name"] == "odd.weight")
    kilter("reproduce", tmp_path / "out.safetensors", tmp_path / "again.safetensors", status=0)


def test_tiles_threads_and_memory_change_nothing(kilter, tmp_path):
    """Groups are cut by tiles: the offset of the tensor in the file is no multiple of a group."""
    random = torch.Generator().manual_seed(1)
    tensors = {"a.weight": torch.randn(3001, 3006, generator=random).to(torch.bfloat16),
               "b.weight": torch.randn(1501, 3006, generator=random).to(torch.bfloat16), "n": torch.arange(3)}
    save_file(tensors, tmp_path / "in.safetensors")
    ways = [["--sparsity", "0.4"], ["--sparsity", "0.4", "--by", "global"], ["--pattern", "2:3"],
            ["--structured", "columns", "--fraction", "0.3"], ["--structured", "rows", "--fraction", "0.3"]]
    for way in ways:
        made = set()
        for threads, memory in ((1, "16MiB"), (8, "512MiB")):
            kilter("prune", tmp_path / "in.safetensors", tmp_path / "out.safetensors", *way, "--threads", threads,
                   "--max-memory", memory, "--force", status=0)
            made.add((tmp_path / "out.safetensors").read_bytes())
        assert len(made) == 1, way
        if way[0] == "--pattern":
            for name, tensor in load_file(tmp_path / "out.safetensors").items():
                if name != "n":
                    assert_pruned(tensor, tensors[name], pattern_stays(as_float64(tensors[name]), 2, 3))


def test_masks_are_applied_again(kilter, slim_models, tmp_path):
    kilter("prune", slim_models / "llama", tmp_path / "sparse", "-s", "0.5", "--mask", tmp_path / "mask.safetensors",
           status=0)
    sparse, mask = load_all(tmp_path / "sparse"), load_file(tmp_path / "mask.safetensors")
    tuned = {name: tensor + 1 for name, tensor in sparse.items()}
    save_file(tuned, tmp_path / "tuned.safetensors")
    kilter("prune", tmp_path / "tuned.safetensors", tmp_path / "out.safetensors", "--mask-from",
           tmp_path / "mask.safetensors", status=0)
    for name, tensor in load_file(tmp_path / "out.safetensors").items():
        wanted = tuned[name] * mask[name] if name in mask else tuned[name]
        assert torch.equal(tensor, wanted), name
    kilter("reproduce", tmp_path / "out.safetensors", tmp_path / "again.safetensors", status=0)
    save_file({name: one.float() for name, one in mask.items()}, tmp_path / "no.safetensors")
    run = kilter("prune", tmp_path / "tuned.safetensors", tmp_path / "no-out.safetensors", "--mask-from",
                 tmp_path / "no.safetensors", status=2)
    assert "mask does not fit" in run.err and not (tmp_path / "no-out.safetensors").exists()


def test_zeros_stay_and_the_model_loads(kilter, slim_models, tmp_path):
    kilter("prune", slim_models / "llama", tmp_path / "half", "-s", "0.5", status=0)
    run = kilter("prune", tmp_path / "half", tmp_path / "more", "-s", "0.75", "--json", status=0).json
    half, more = load_all(tmp_path / "half"), load_all(tmp_path / "more")
    for name, tensor in half.items():
        assert ((tensor == 0) <= (more[name] == 0)).all()
    assert run["zeros_after"] == pytest.approx(0.75 * run["elements"], rel=1e-3)
    assert run["zeros_before"] == pytest.approx(0.5 * run["elements"], rel=1e-3)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "more")
    assert torch.isfinite(model(torch.tensor([[1, 2, 3]])).logits).all()


@pytest.mark.parametrize("name, output, across", [("llama", "self_attn.o_proj.weight", True),
                                                  ("gpt2", "attn.c_proj.weight", False)])
def test_heads_fall_silent(kilter, slim_models, tmp_path, name, output, across):
    run = kilter("prune", slim_models / name, tmp_path / "out", "--structured", "heads", "--fraction", "0.34", "--json",
                 status=0).json
    heads = json.loads((slim_models / name / "config.json").read_text())["num_attention_heads" if across else "n_head"]
    before, after = load_all(slim_models / name), load_all(tmp_path / "out")
    for key, tensor in before.items():
        if not key.endswith(output):
            assert torch.equal(after[key], tensor), key
            continue
        values = as_float64(tensor) if across else as_float64(tensor).T
        norms = (values.reshape(values.shape[0], heads, -1) ** 2).sum((0, 2))
        gone = np.argsort(norms)[: round(0.34 * heads)]
        values = values.reshape(values.shape[0], heads, -1).copy()
        values[:, gone] = 0
        values = values.reshape(values.shape[0], -1)
        np.testing.assert_array_equal(as_float64(after[key]), values if across else values.T)
    assert sum(row["fate"] == "pruned" for row in run["tensors"]) == 2


@pytest.mark.parametrize("options, said", [
    ([], "give one of"),
    (["-s", "1.5"], "0 to 1"),
    (["-s", "0.5", "--pattern", "2:4"], "exclude each other"),
    (["--pattern", "4:2"], "N:M"),
    (["--structured", "rows"], "go together"),
    (["--structured", "heads", "--fraction", "0.5"], "--heads N"),
    (["-s", "0.5", "--only", "nothing*"], "fits no tensor"),
    (["-s", "0.5", "--only", "a.weight", "--exclude", "a.*"], "no tensor is left"),
])
def test_wrong_usage_says_what_to_do(kilter, tmp_path, options, said):
    save_file({"a.weight": torch.ones(4, 4)}, tmp_path / "in.safetensors")
    run = kilter("prune", "in.safetensors", "out.safetensors", *options, cwd=tmp_path, status=2)
    assert said in run.err, run
    assert [path.name for path in tmp_path.iterdir()] == ["in.safetensors"]


def test_scaled_f8_is_refused(kilter, tmp_path):
    save_file({"a.weight": torch.ones(4, 4).to(torch.float8_e4m3fn), "a.weight_scale": torch.ones(1)},
              tmp_path / "in.safetensors")
    run = kilter("prune", tmp_path / "in.safetensors", tmp_path / "out.safetensors", "-s", "0.5")
    assert run.status == 3 and "kilter cast" in run.err, run
