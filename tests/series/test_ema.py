"""kilter ema beside the recursion in float64, and EDM2's post-hoc reconstruction beside least squares in numpy."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from series_models import assert_same_bits, load, metadata, nearest_bf16

SHAPE = (41, 23)


def steps_of_training(count, dtype=torch.float32):
    """What a run leaves: a point that wanders."""
    random = np.random.default_rng(7)
    point, out = random.standard_normal(SHAPE), []
    for _ in range(count):
        point = point + random.standard_normal(SHAPE) * 0.01
        out.append(torch.from_numpy(point).to(dtype))
    return out


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    folder = tmp_path_factory.mktemp("steps")
    for i, tensor in enumerate(steps_of_training(12)):
        save_file({"w": tensor}, folder / f"{i:02}.safetensors")
    return sorted(folder.glob("*.safetensors"))


def recursion(tensors, decay_at, correct_bias=False):
    """decay_at(n): n = 1 for the first update."""
    values = [tensor.to(torch.float64).numpy() for tensor in tensors]
    if correct_bias:
        shadow, left = np.zeros(SHAPE), 1.0
        for n, value in enumerate(values, 1):
            shadow, left = decay_at(n) * shadow + (1 - decay_at(n)) * value, left * decay_at(n)
        return shadow / (1 - left)
    shadow = values[0]
    for n, value in enumerate(values[1:], 1):
        shadow = decay_at(n) * shadow + (1 - decay_at(n)) * value
    return shadow


PROFILES = [
    (["--decay", "0.9"], lambda n: 0.9, False),
    ([], lambda n: 0.999, False),
    (["--half-life", "3"], lambda n: 2 ** (-1 / 3), False),
    (["--decay", "0.95", "--warm-up"], lambda n: min(0.95, (1 + n) / (10 + n)), False),
    (["--decay", "0.9", "--correct-bias"], lambda n: 0.9, True),
    (["--decay", "0.95", "--warm-up", "--correct-bias"], lambda n: min(0.95, (1 + n) / (10 + n)), True),
    (["--gamma", "6.94"], lambda n: (1 - 1 / (n + 1)) ** 7.94, False),
]


@pytest.mark.parametrize("options, decay_at, correct_bias", PROFILES, ids=lambda value: " ".join(value)
                         if isinstance(value, list) else None)
def test_the_recursion_in_float64(kilter, series, tmp_path, options, decay_at, correct_bias):
    out = tmp_path / "ema.safetensors"
    made = kilter("ema", *series, "-o", out, "--dtype", "f64", *options, "--json", status=0).json
    inputs = [load_file(path)["w"] for path in series]
    got = load_file(out)["w"].numpy()
    np.testing.assert_allclose(got, recursion(inputs, decay_at, correct_bias), rtol=1e-13, atol=1e-15)
    total = np.zeros(SHAPE)  # and the stated coefficients, bit for bit
    for i, (weight, tensor) in enumerate(zip(made["coefficients"], inputs)):
        term = weight * tensor.to(torch.float64).numpy()
        total = term if i == 0 else total + term
    np.testing.assert_array_equal(got, total)
    assert abs(sum(made["coefficients"]) - 1) < 1e-14


def test_what_weighs_nothing_is_not_read(kilter, series, tmp_path):
    made = kilter("ema", *series, "-o", tmp_path / "ema.safetensors", "--decay", "0.001", "--json", status=0).json
    assert made["dropped"] == [str(path) for path in series[:5]], made["coefficients"]
    recipe = json.loads(metadata(tmp_path / "ema.safetensors")["kilter.recipe"])
    assert len(recipe["inputs"]) == 7 and len(recipe["coefficients"]) == 7
    run = kilter("ema", *series, "-o", tmp_path / "again.safetensors", "--decay", "0.001", status=0)
    assert "5 not read" in run.out


def test_reproduce_and_the_same_bytes_for_any_threads(kilter, series, tmp_path):
    made = set()
    for threads, memory in ((1, "64MiB"), (8, "1GiB")):
        kilter("ema", *series, "-o", tmp_path / f"{threads}.safetensors", "--decay", "0.9", "--threads", threads,
               "--max-memory", memory, status=0)
        made.add((tmp_path / f"{threads}.safetensors").read_bytes())
    assert len(made) == 1
    kilter("reproduce", tmp_path / "1.safetensors", tmp_path / "again.safetensors", status=0)
    assert (tmp_path / "again.safetensors").read_bytes() in made


# --- stores -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store(kilter, series, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "runs.kilter"
    for i, source in enumerate(series):
        kilter("save", source, path, "--step", 10 * (i + 1), status=0)
    return path


@pytest.mark.parametrize("options, chosen", [
    ([], range(12)),
    (["--steps", "30..80"], range(2, 8)),
    (["--steps", "..50"], range(5)),
    (["--every", "30"], [2, 5, 8, 11]),
    (["--steps", "50..", "--every", "20"], [5, 7, 9, 11]),
])
def test_steps_of_a_store(kilter, series, store, tmp_path, options, chosen):
    made = kilter("ema", f"{store}@main", "-o", tmp_path / "a.safetensors", "--decay", "0.8", *options, "--json",
                  status=0).json
    kilter("ema", *(series[i] for i in chosen), "-o", tmp_path / "b.safetensors", "--decay", "0.8", status=0)
    assert_same_bits(load(tmp_path / "a.safetensors"), load(tmp_path / "b.safetensors"))
    assert len(made["sources"]) == len(list(chosen)) and all("@" in source for source in made["sources"])
    kilter("reproduce", tmp_path / "a.safetensors", tmp_path / "again.safetensors", status=0)


def test_hundreds_of_steps_in_little_memory(kilter, tmp_path):
    store, random = tmp_path / "long.kilter", np.random.default_rng(3)
    point, inputs = random.standard_normal((64, 1024)), []
    (tmp_path / "steps").mkdir()
    for i in range(150):
        point += random.standard_normal(point.shape) * 1e-3
        inputs.append(torch.from_numpy(point.copy()).to(torch.bfloat16))
        save_file({"w": inputs[-1]}, tmp_path / "steps" / f"step_{i + 1}.safetensors")
    kilter("save", "--series", *sorted((tmp_path / "steps").iterdir(), key=lambda path: int(path.stem[5:])), store,
           status=0)
    made = kilter("ema", *(f"{store}@main~{149 - i}" for i in range(150)), "-o", tmp_path / "ema.safetensors",
                  "--decay", "0.99", "--max-memory", "64MiB", "--json", status=0).json
    total = np.zeros(point.shape)
    for i, (weight, tensor) in enumerate(zip(made["coefficients"], inputs)):
        term = weight * tensor.to(torch.float64).numpy()
        total = term if i == 0 else total + term
    assert torch.equal(load_file(tmp_path / "ema.safetensors")["w"], nearest_bf16(total))


# --- post hoc -----------------------------------------------------------------------------------------------


def width(gamma):
    return math.sqrt((gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3)))


def gamma_of(sigma_rel):
    """Largest real root of the paper's cubic."""
    t = sigma_rel**-2
    return max(root.real for root in np.roots([1, 7, 16 - t, 12 - t]) if abs(root.imag) < 1e-9)


def product(gamma_a, at_a, gamma_b, at_b, points=200_001):
    """Inner product of two profiles by Simpson's rule: nothing of the closed form."""
    t = np.linspace(0, min(at_a, at_b), points)
    f = (gamma_a + 1) / at_a * (t / at_a) ** gamma_a * (gamma_b + 1) / at_b * (t / at_b) ** gamma_b
    return (f[0] + f[-1] + 4 * f[1:-1:2].sum() + 2 * f[2:-1:2].sum()) * (t[1] - t[0]) / 3


def test_post_hoc_is_the_least_squares_between_profiles(kilter, series, tmp_path):
    stored = [(0.05, 1000.0), (0.10, 1000.0), (0.05, 2000.0), (0.10, 2000.0)]
    run = kilter("ema", *series[:4], "-o", tmp_path / "ema.safetensors", "--post-hoc", "--sigma-rel", "0.07",
                 "--stored-sigma", ",".join(str(s) for s, _ in stored), "--stored-at",
                 ",".join(str(t) for _, t in stored), "--dtype", "f64", "--json", status=0).json
    profiles = [(gamma_of(s), t) for s, t in stored]
    wanted = (gamma_of(0.07), 2000.0)
    a = np.array([[product(*p, *q) for q in profiles] for p in profiles])
    b = np.array([product(*p, *wanted) for p in profiles])
    x = np.linalg.solve(a, b)
    np.testing.assert_allclose(run["coefficients"], x, rtol=1e-5)
    left = math.sqrt(max(0, 1 - b @ x / product(*wanted, *wanted)))
    assert abs(run["fit_error"] - left) < 1e-4


def test_post_hoc_gives_back_what_training_would_have_kept(kilter, tmp_path):
    """Averages of two widths at many times, as EDM2 keeps them: another width is made of them."""
    kept, steps = {0.05: None, 0.10: None, 0.075: None}, steps_of_training(512, torch.float64)
    names, sigmas, times = [], [], []
    for n, tensor in enumerate(steps, 1):
        value = tensor.numpy()
        for sigma in kept:
            decay = (1 - 1 / n) ** (gamma_of(sigma) + 1)
            kept[sigma] = value if kept[sigma] is None else decay * kept[sigma] + (1 - decay) * value
        if n % 64 == 0:
            for sigma in (0.05, 0.10):
                names.append(tmp_path / f"{sigma}-{n}.safetensors")
                save_file({"w": torch.from_numpy(kept[sigma])}, names[-1])
                sigmas.append(str(sigma)), times.append(str(n))
    run = kilter("ema", *names, "-o", tmp_path / "ema.safetensors", "--post-hoc", "--sigma-rel", "0.075",
                 "--stored-sigma", ",".join(sigmas), "--stored-at", ",".join(times), "--json", status=0).json
    got = load_file(tmp_path / "ema.safetensors")["w"].numpy()
    scale = np.sqrt(np.mean((steps[-1].numpy() - kept[0.075]) ** 2))
    assert np.sqrt(np.mean((got - kept[0.075]) ** 2)) < 0.03 * scale and run["fit_error"] < 0.02


def test_a_width_that_was_stored_is_that_average(kilter, series, tmp_path):
    run = kilter("ema", *series[:2], "-o", tmp_path / "ema.safetensors", "--post-hoc", "--sigma-rel", "0.1",
                 "--stored-sigma", "0.05,0.1", "--stored-at", "100,100", "--json", status=0).json
    assert abs(run["coefficients"][0]) < 1e-9 and abs(run["coefficients"][1] - 1) < 1e-9
    assert run["fit_error"] < 1e-6


@pytest.mark.parametrize("options, said", [
    (["--decay", "1"], "between 0 and 1"),
    (["--decay", "0.9", "--gamma", "3"], "more than one decay"),
    (["--gamma", "3", "--warm-up"], "--warm-up goes with --decay"),
    (["--gamma", "3", "--correct-bias"], "no bias"),
    (["--sigma-rel", "0.3"], "at most 0.288675"),
    (["--steps", "1..2"], "select from one store"),
    (["--post-hoc", "--sigma-rel", "0.1"], "--post-hoc needs --stored-sigma"),
    (["--post-hoc", "--sigma-rel", "0.1", "--stored-sigma", "0.05", "--stored-at", "1,1"], "the same profile"),
    (["--post-hoc", "--sigma-rel", "0.1", "--stored-sigma", "0.05", "--stored-at", "1"], "one number for each SRC"),
])
def test_wrong_usage(kilter, series, tmp_path, options, said):
    run = kilter("ema", *series[:2], "-o", tmp_path / "ema.safetensors", *options, status=2)
    assert said in run.err and not list(tmp_path.iterdir()), run


def test_steps_that_are_not_there(kilter, store, tmp_path):
    run = kilter("ema", store, "--steps", "1000..", "-o", tmp_path / "ema.safetensors", status=4)
    assert "no step" in run.err
