"""cast, average, merge and reproduce beside arithmetic in float64, on models that transformers made."""

import hashlib
import json

import numpy as np
import pytest
import safetensors
import torch
import transformers
from safetensors.torch import load_file, save_file

import float64
from float64 import assert_bits, weighted_sum


def load(path):
    if path.is_file():
        return load_file(path)
    tensors = {}
    for part in sorted(path.glob("*.safetensors")):
        tensors |= load_file(part)
    return tensors


def rough(shape, dtype, seed):
    """Numbers of every size, zeros and subnormals among them, half of them with few bits."""
    random = np.random.default_rng(seed)
    values = random.standard_normal(shape) * 2.0 ** random.integers(-30, 10, shape)
    values[random.random(shape) < 0.05] = 0
    values[random.random(shape) < 0.05] *= 2.0**-110
    if dtype == torch.float8_e4m3fn:  # no NaN among the inputs
        values = values.clip(-448, 448)
    return torch.from_numpy(values).to(dtype)


# --- average ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [None, "1,2,0.5", "0.3,0.3,-0.1"])
def test_average_of_models_is_the_float64_sum_rounded_once(kilter, tunes, tmp_path, weights):
    sources = [tunes / name for name in ("base", "a", "b")]
    extra = ["-w", weights] if weights else []
    kilter("average", *sources, "-o", tmp_path / "soup", *extra, status=0)
    numbers = [float(w) for w in weights.split(",")] if weights else [1.0] * 3
    shares = [w / sum(numbers) for w in numbers]
    inputs, got = [load(source) for source in sources], load(tmp_path / "soup")
    assert got.keys() == inputs[0].keys()
    for name, tensor in got.items():
        assert_bits(tensor, weighted_sum([one[name] for one in inputs], shares), torch.bfloat16)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "soup")  # config came along
    assert torch.isfinite(model(torch.tensor([[1, 2, 3]])).logits).all()


@pytest.mark.parametrize("dtype", ["f64", "f32", "bf16", "f16", "f8_e5m2", "f8_e4m3"])
def test_every_dtype_in_and_out(kilter, tmp_path, dtype):
    names = {"f64": torch.float64, "f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16,
             "f8_e5m2": torch.float8_e5m2, "f8_e4m3": torch.float8_e4m3fn}
    models = [{f"of_{name}": rough((37, 41), kind, 10 * i + seed) for i, (name, kind) in enumerate(names.items())}
              for seed in (1, 2)]
    for i, model in enumerate(models):
        save_file(model, tmp_path / f"{i}.safetensors")
    kilter("average", tmp_path / "0.safetensors", tmp_path / "1.safetensors", "-o", tmp_path / "out.safetensors",
           "-w", "1,3", "--dtype", dtype, "--allow", "overflow", status=0)
    for name, tensor in load_file(tmp_path / "out.safetensors").items():
        assert_bits(tensor, weighted_sum([model[name] for model in models], [0.25, 0.75]), names[dtype])


def test_the_same_bytes_for_any_threads_and_memory(kilter, tunes, tmp_path):
    digests = set()
    for threads in (1, 2, 8):
        for memory in ("64MiB", "512MiB", "4GiB"):
            out = tmp_path / f"{threads}_{memory}.safetensors"
            kilter("average", tunes / "a", tunes / "b", "-o", out, "--threads", threads, "--max-memory", memory,
                   status=0)
            digests.add(hashlib.sha256(out.read_bytes()).hexdigest())
    assert len(digests) == 1


@pytest.mark.parametrize("target", ["out.pt", "out.npz", "dcp/", "shards/"])
def test_other_targets_hold_the_same(kilter, tunes, tmp_path, target):
    kilter("average", tunes / "a", tunes / "b", "-o", tmp_path / "plain.safetensors", status=0)
    options = {"dcp/": ["--to", "dcp"], "shards/": ["--max-shard-size", "40KB"]}.get(target, [])
    kilter("average", tunes / "a", tunes / "b", "-o", str(tmp_path / target), *options, status=0)
    kilter("convert", tmp_path / target.rstrip("/"), tmp_path / "back.safetensors", status=0)
    wanted, got = load_file(tmp_path / "plain.safetensors"), load_file(tmp_path / "back.safetensors")
    assert wanted.keys() == got.keys()
    for name in wanted:
        assert torch.equal(wanted[name].view(torch.uint8), got[name].view(torch.uint16).view(torch.uint8))
    kilter("reproduce", tmp_path / target.rstrip("/"), tmp_path / "again.pt", status=0)


# --- merge --------------------------------------------------------------------------------------------------


def test_weighted_and_add_difference(kilter, tunes, tmp_path):
    base, a, b = (load(tunes / name) for name in ("base", "a", "b"))
    out = tmp_path / "out.safetensors"
    kilter("merge", "--a", tunes / "a", "--b", tunes / "b", "--weighted", "0.3", out, status=0)
    for name, tensor in load_file(out).items():
        assert_bits(tensor, weighted_sum([a[name], b[name]], [1 - 0.3, 0.3]), torch.bfloat16)
    kilter("merge", "--a", tunes / "a", "--b", tunes / "b", "--c", tunes / "base", "--add-difference", "0.7", out,
           "--half", "--force", status=0)
    for name, tensor in load_file(out).items():
        assert_bits(tensor, weighted_sum([a[name], b[name], base[name]], [1.0, 0.7, -0.7]), torch.float16)


@pytest.mark.parametrize("ratio", [0.3, 1.0, -0.5])
def test_slerp(kilter, tmp_path, ratio):
    """Beside numpy's own; sums there go another way, so that one may differ in the last bit of an angle."""
    random = torch.Generator().manual_seed(5)
    models = [{"far": torch.randn(40, 30, generator=random), "near": torch.ones(50), "zero": torch.ones(6),
               "opposite": torch.arange(1.0, 9)} for _ in range(2)]
    models[1]["near"] += 1e-4 * torch.randn(50, generator=random)
    models[1]["zero"] *= 0
    models[1]["opposite"] *= -2
    for i, model in enumerate(models):
        save_file(model, tmp_path / f"{i}.safetensors")
    out = tmp_path / "out.safetensors"
    kilter("merge", "--a", tmp_path / "0.safetensors", "--b", tmp_path / "1.safetensors", "--slerp", str(ratio), out,
           status=0)
    for name, tensor in load_file(out).items():
        a, b = (float64.as_float64(model[name]) for model in models)
        norms = np.linalg.norm(a) * np.linalg.norm(b)
        cosine = (a * b).sum() / norms if norms else 0.0
        assert (abs(cosine) > 0.9995) == (name in ("near", "opposite"))
        shares = (1 - ratio, ratio)
        if abs(cosine) <= 0.9995:
            angle = np.arccos(cosine)
            shares = np.sin(angle - angle * ratio) / np.sin(angle), np.sin(angle * ratio) / np.sin(angle)
        np.testing.assert_allclose(float64.as_float64(tensor), shares[0] * a + shares[1] * b, rtol=2e-7, atol=1e-9)
    kilter("reproduce", out, tmp_path / "again.safetensors", "--threads", "1", status=0)


def test_ratio_0_is_the_first_model_and_1_the_second(kilter, tunes, tmp_path):
    for ratio, name in (("0", "a"), ("1", "b")):
        out = tmp_path / f"{ratio}.safetensors"
        kilter("merge", "--a", tunes / "a", "--b", tunes / "b", "--weighted", ratio, out, status=0)
        wanted = load(tunes / name)
        for key, tensor in load_file(out).items():
            assert torch.equal(tensor, wanted[key])


def test_containers_are_left_out_of_names(kilter, tmp_path):
    torch.save({"state_dict": {"w": torch.full((3,), 1.0)}, "epoch": 3}, tmp_path / "a.ckpt")
    save_file({"w": torch.full((3,), 3.0)}, tmp_path / "b.safetensors")
    kilter("merge", "--a", tmp_path / "a.ckpt", "--b", tmp_path / "b.safetensors", "--weighted", "0.25",
           tmp_path / "out.safetensors", status=0)
    assert load_file(tmp_path / "out.safetensors")["w"].tolist() == [1.5] * 3


# --- cast ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["bf16", "f16", "f32", "f8_e4m3", "f8_e5m2"])
def test_cast_equals_torch(kilter, tunes, tmp_path, dtype):
    """From float32, where torch rounds once too."""
    wanted = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32,
              "f8_e4m3": torch.float8_e4m3fn, "f8_e5m2": torch.float8_e5m2}[dtype]
    tensors = {"w": rough((301, 77), torch.float32, 5), "n": torch.arange(7), "b": torch.tensor([True, False])}
    save_file(tensors, tmp_path / "in.safetensors")
    run = kilter("cast", tmp_path / "in.safetensors", tmp_path / "out.safetensors", "--dtype", dtype,
                 "--allow", "overflow", "--json", status=0).json
    got = load_file(tmp_path / "out.safetensors")
    assert torch.equal(got["n"], tensors["n"]) and torch.equal(got["b"], tensors["b"])
    expected = tensors["w"].to(wanted)
    assert_bits(got["w"], float64.as_float64(expected), wanted)
    row = next(tensor for tensor in run["tensors"] if tensor["name"] == "w")
    if dtype == "f32":
        assert row["fate"] == "copied"
        return
    before, after = float64.as_float64(tensors["w"]), float64.as_float64(expected)
    assert row["too_large"] == float64.too_large(before, wanted).sum()
    fits = np.isfinite(after)
    assert row["largest_error"] == np.abs(after - before)[fits].max()
    assert row["rms_error"] == pytest.approx(np.sqrt(((after - before)[fits] ** 2).sum() / before.size), rel=1e-9)


def test_cast_keeps_what_it_is_told_and_tells_the_config(kilter, tunes, tmp_path):
    kilter("cast", tunes / "b", tmp_path / "half", "--dtype", "f16", "--keep", "*norm*=f32", status=0)
    for name, tensor in load(tmp_path / "half").items():
        assert tensor.dtype == (torch.float32 if "norm" in name else torch.float16), name
    config = json.loads((tmp_path / "half" / "config.json").read_text())
    assert config.get("torch_dtype", config.get("dtype")) == "float16"
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "half", torch_dtype="auto")
    assert model.lm_head.weight.dtype == torch.float16


def test_too_large_is_refused_and_leaves_nothing(kilter, tmp_path):
    save_file({"fine": torch.ones(5), "large": torch.tensor([1.0, -7e4, 65519.0])}, tmp_path / "in.safetensors")
    run = kilter("cast", tmp_path / "in.safetensors", tmp_path / "out.safetensors", "--dtype", "f16")
    assert run.status != 0 and "large" in run.err and "70000" in run.err and "--allow overflow" in run.err, run
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.safetensors"]
    kilter("cast", tmp_path / "in.safetensors", tmp_path / "out.safetensors", "--dtype", "f16",
           "--allow", "overflow", status=0)
    assert load_file(tmp_path / "out.safetensors")["large"].tolist() == [1, -np.inf, 65504]


# --- what does not fit --------------------------------------------------------------------------------------

ONE = {"w": torch.ones(2, 3), "v": torch.ones(4), "n": torch.tensor([1, 2])}


@pytest.mark.parametrize("change, allow, said, expected", [
    ({"v": None}, "missing", "v is missing", {"w": [[2.0] * 3] * 2, "v": [1.0] * 4}),
    ({"x": torch.ones(1)}, "extra", "x is not in", {"w": [[2.0] * 3] * 2, "v": [2.0] * 4}),
    ({"v": torch.ones(5)}, "shape", "v is f32 [5], not f32 [4]", {"v": [1.0] * 4}),
    ({"w": 3 * torch.ones(2, 3, dtype=torch.float16)}, "dtype", "w is f16 [2, 3], not f32 [2, 3]",
     {"w": [[2.0] * 3] * 2}),
    ({"n": torch.tensor([1, 3])}, "values", "integers differ", {"n": [1, 2]}),
    ({"v": torch.tensor([3.0, np.nan, 3, 3])}, "nonfinite", "NaN or infinite", {"w": [[2.0] * 3] * 2}),
])
def test_each_misfit_is_named_and_can_be_allowed(kilter, tmp_path, change, allow, said, expected):
    other = {name: tensor if name == "n" else 3 * tensor for name, tensor in ONE.items()} | change
    save_file(ONE, tmp_path / "a.safetensors")
    save_file({name: tensor for name, tensor in other.items() if tensor is not None}, tmp_path / "b.safetensors")
    arguments = ("average", tmp_path / "a.safetensors", tmp_path / "b.safetensors", "-o", tmp_path / "out.safetensors")
    run = kilter(*arguments)
    assert run.status in (2, 3) and said in run.err and "b.safetensors" in run.err, run
    assert f"--allow {allow}" in run.err, run
    assert not (tmp_path / "out.safetensors").exists()
    kilter(*arguments, "--allow", allow, status=0)
    got = load_file(tmp_path / "out.safetensors")
    for name, values in expected.items():
        assert got[name].tolist() == values
    with safetensors.safe_open(tmp_path / "out.safetensors", "pt") as file:
        assert json.loads(file.metadata()["kilter.recipe"])["allow"] == [allow]


def test_a_difference_that_lacks_a_term_is_left_out(kilter, tmp_path):
    save_file({"w": torch.full((2,), 1.0), "v": torch.full((2,), 1.0)}, tmp_path / "a.safetensors")
    save_file({"w": torch.full((2,), 5.0)}, tmp_path / "b.safetensors")
    save_file({"w": torch.full((2,), 3.0), "v": torch.full((2,), 9.0)}, tmp_path / "c.safetensors")
    kilter("merge", "--a", tmp_path / "a.safetensors", "--b", tmp_path / "b.safetensors", "--c",
           tmp_path / "c.safetensors", "--add-difference", "1", tmp_path / "out.safetensors", "--allow", "missing",
           status=0)
    got = load_file(tmp_path / "out.safetensors")
    assert got["w"].tolist() == [3.0, 3.0] and got["v"].tolist() == [1.0, 1.0]


def test_weights_that_vanish_where_a_tensor_is_missing(kilter, tmp_path):
    for name, tensors in (("a", "wv"), ("b", "wv"), ("c", "w")):
        save_file({one: torch.ones(2) for one in tensors}, tmp_path / f"{name}.safetensors")
    run = kilter("average", *(tmp_path / f"{name}.safetensors" for name in "abc"), "-w", "1,-1,1", "-o",
                 tmp_path / "out.safetensors", "--allow", "missing", status=2)
    assert "v add up to 0" in run.err, run


@pytest.mark.parametrize("arguments, said", [
    (["average", "a", "a"], "-o DST"),
    (["average", "a", "a", "-o", "out", "-w", "1"], "2 weights"),
    (["average", "a", "a", "-o", "out", "-w", "1,-1"], "sum is 0"),
    (["average", "a", "a", "-o", "out", "-w", "1,two"], "wants a number"),
    (["average", "a", "a", "-o", "out", "--allow", "all"], "does not know 'all'"),
    (["cast", "a", "out", "--dtype", "f7"], "no dtype is called 'f7'"),
    (["cast", "a", "out", "--dtype", "i8"], "cannot be cast"),
    (["cast", "a", "out", "--keep", "nothing*=f32"], "fits no tensor"),
    (["merge", "--a", "a", "--b", "a", "out"], "one of --weighted, --slerp and --add-difference"),
    (["merge", "--a", "a", "--b", "a", "--add-difference", "1", "out"], "--c"),
    (["merge", "--a", "a", "--b", "a", "--slerp", "1", "--weighted", "1", "out"], "exclude each other"),
])
def test_wrong_usage_says_what_to_do(kilter, tmp_path, arguments, said):
    save_file(ONE, tmp_path / "a")
    run = kilter(*arguments, cwd=tmp_path, status=2)
    assert said in run.err, run
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


# --- recipes ------------------------------------------------------------------------------------------------


def test_reproduce_makes_the_same_and_notices_a_changed_input(kilter, tmp_path):
    for i in (1, 2):
        save_file({"w": rough((50, 50), torch.bfloat16, i)}, tmp_path / f"{i}.safetensors")
    kilter("average", "1.safetensors", "2.safetensors", "-w", "0.1,0.7", "-o", "soup.safetensors", cwd=tmp_path,
           status=0)
    (tmp_path / "elsewhere").mkdir()
    kilter("reproduce", tmp_path / "soup.safetensors", "again.safetensors", cwd=tmp_path / "elsewhere", status=0)
    again = (tmp_path / "elsewhere" / "again.safetensors").read_bytes()
    assert again == (tmp_path / "soup.safetensors").read_bytes()
    save_file({"w": rough((50, 50), torch.bfloat16, 3)}, tmp_path / "2.safetensors")
    run = kilter("reproduce", tmp_path / "soup.safetensors", tmp_path / "third.safetensors")
    assert run.status == 3 and "2.safetensors" in run.err and "not what it was" in run.err, run
    assert not (tmp_path / "third.safetensors").exists()


def test_reproduce_tells_a_changed_output(kilter, tunes, tmp_path):
    out = tmp_path / "out.safetensors"
    kilter("cast", tunes / "a", out, "--dtype", "f16", status=0)
    with safetensors.safe_open(out, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(out)
    tensors["lm_head.weight"][0, 0] += 1
    save_file(tensors, out, metadata)
    run = kilter("reproduce", out, tmp_path / "again.safetensors", "--json", status=1).json
    assert not run["same"] and run["expected"] != run["found"]


def test_reproduce_without_a_recipe(kilter, tunes, tmp_path):
    run = kilter("reproduce", tunes / "a", tmp_path / "again.safetensors", status=4)
    assert "no recipe" in run.err


def test_a_step_in_a_store(kilter, tunes, tmp_path):
    kilter("save", tunes / "a", tmp_path / "runs.kilter", status=0)
    kilter("save", tunes / "b", tmp_path / "runs.kilter", status=0)
    store = tmp_path / "runs.kilter"
    kilter("average", f"{store}@main~1", f"{store}@main", "-o", tmp_path / "out.safetensors", status=0)
    kilter("average", tunes / "a", tunes / "b", "-o", tmp_path / "same.safetensors", status=0)
    for name, tensor in load_file(tmp_path / "same.safetensors").items():
        assert torch.equal(tensor, load_file(tmp_path / "out.safetensors")[name])
    kilter("reproduce", tmp_path / "out.safetensors", tmp_path / "again.safetensors", status=0)


def test_dry_run_writes_nothing(kilter, tunes, tmp_path):
    run = kilter("average", tunes / "a", tunes / "b", "-o", tmp_path / "out.safetensors", "--dry-run", "--json",
                 status=0).json
    assert run["dry_run"] and not list(tmp_path.iterdir())
    kilter("average", tunes / "a", tunes / "b", "-o", tmp_path / "out.safetensors", status=0)
    assert [file["bytes"] for file in run["files"]] == [(tmp_path / "out.safetensors").stat().st_size]
