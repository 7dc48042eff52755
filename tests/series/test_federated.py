"""kilter average --federated beside float64; who is rejected; the noise and its bound."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from series_models import metadata

SHAPES = {"layer.weight": (40, 31), "layer.bias": (40,)}


def model(seed, base=None, away=0.01, dtype=torch.float32):
    random = np.random.default_rng(seed)
    out = {}
    for name, shape in SHAPES.items():
        values = random.standard_normal(shape) * (1 if base is None else away)
        if base is not None:
            values = values + base[name].to(torch.float64).numpy()
        out[name] = torch.from_numpy(values).to(dtype)
    return out


@pytest.fixture
def round_of(tmp_path):
    """A base and three clients that state their samples; returns their paths."""
    base = model(1)
    save_file(base, tmp_path / "base.safetensors")
    for i, samples in enumerate((100, 300, 600)):
        save_file(model(2 + i, base), tmp_path / f"{i}.safetensors", {"num_samples": str(samples)})
    return tmp_path / "base.safetensors", [tmp_path / f"{i}.safetensors" for i in range(3)]


def f64(path):
    return {name: tensor.to(torch.float64).numpy() for name, tensor in load_file(path).items()}


def norm(client, base):
    return math.sqrt(sum(((client[name] - base[name]) ** 2).sum() for name in base))


def blend(base, clients, coefficients):
    out = {}
    for name in base:
        total = coefficients[0] * base[name]
        for weight, client in zip(coefficients[1:], clients):
            total = total + weight * client[name]
        out[name] = total
    return out


def average(kilter, base, clients, out, *options, status=0):
    run = kilter("average", "--federated", *clients, "--base", base, "-o", out, *options, "--json", status=status)
    return run.json if status == 0 else run


def test_samples_weigh_and_the_sum_is_float64_rounded_once(kilter, round_of, tmp_path):
    base, clients = round_of
    made = average(kilter, base, clients, tmp_path / "next.safetensors")
    assert [client["weight"] for client in made["clients"]] == [0.1, 0.3, 0.6]
    wanted = blend(f64(base), [f64(client) for client in clients], [0, 0.1, 0.3, 0.6])
    for name, tensor in load_file(tmp_path / "next.safetensors").items():
        np.testing.assert_array_equal(tensor.numpy(), wanted[name].astype(np.float32))
    for client, row in zip(clients, made["clients"]):
        assert abs(row["norm"] - norm(f64(client), f64(base))) < 1e-9
    average(kilter, base, clients, tmp_path / "given.safetensors", "--samples", "1,3,6")
    average(kilter, base, clients, tmp_path / "equal.safetensors", "--equal")
    assert (load_file(tmp_path / "given.safetensors")["layer.bias"] ==
            load_file(tmp_path / "next.safetensors")["layer.bias"]).all()
    wanted = blend(f64(base), [f64(client) for client in clients], [0, 1 / 3, 1 / 3, 1 / 3])
    np.testing.assert_array_equal(load_file(tmp_path / "equal.safetensors")["layer.bias"].numpy(),
                                  wanted["layer.bias"].astype(np.float32))


def test_clipping_scales_each_update_to_the_bound(kilter, round_of, tmp_path):
    base, clients = round_of
    bound = norm(f64(clients[1]), f64(base)) * 0.9
    made = average(kilter, base, clients, tmp_path / "next.safetensors", "--clip", bound)
    parts = [row["weight"] * row["scale"] for row in made["clients"]]
    for client, row in zip(clients, made["clients"]):
        assert row["scale"] == pytest.approx(min(1, bound / norm(f64(client), f64(base))), rel=1e-12)
    wanted = blend(f64(base), [f64(client) for client in clients], [1 - (parts[0] + parts[1] + parts[2]), *parts])
    for name, tensor in load_file(tmp_path / "next.safetensors").items():
        np.testing.assert_array_equal(tensor.numpy(), wanted[name].astype(np.float32))
    moved = norm(f64(tmp_path / "next.safetensors"), f64(base))
    assert moved <= bound * (1 + 1e-6)


def test_bad_clients_are_rejected_with_their_reasons_and_the_rest_go_on(kilter, round_of, tmp_path):
    base, clients = round_of
    tensors = load_file(base)
    bad = {
        "nan": {**tensors, "layer.bias": torch.full((40,), float("nan"))},
        "missing": {"layer.weight": tensors["layer.weight"]},
        "extra": {**tensors, "other": torch.ones(2)},
        "shape": {**tensors, "layer.bias": torch.ones(41)},
        "dtype": {**tensors, "layer.bias": tensors["layer.bias"].to(torch.float16)},
        "large": {name: tensor + 100 for name, tensor in tensors.items()},
    }
    for name, content in bad.items():
        save_file(content, tmp_path / f"{name}.safetensors", {"num_samples": "50"})
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "0.safetensors").read_bytes()[:-10])
    everyone = [*clients, *(tmp_path / f"{name}.safetensors" for name in (*bad, "cut"))]
    made = average(kilter, base, everyone, tmp_path / "next.safetensors", "--max-norm", "10")
    said = {row["address"].rsplit("/", 1)[1][:-12]: row.get("rejected", "") for row in made["clients"]}
    assert not any(said[str(i)] for i in range(3))
    for name, reason in {"nan": "not finite", "missing": "is missing", "extra": "is not in the base",
                         "shape": "has shape [41]", "dtype": "is f16", "large": "above 10"}.items():
        assert reason in said[name], said
    assert said["cut"]
    average(kilter, base, clients, tmp_path / "alone.safetensors")
    for name, tensor in load_file(tmp_path / "next.safetensors").items():
        assert torch.equal(tensor, load_file(tmp_path / "alone.safetensors")[name])
    recipe = json.loads(metadata(tmp_path / "next.safetensors")["kilter.recipe"])
    assert len(recipe["inputs"]) == 4 and "not finite" in recipe["round"]
    run = kilter("average", "--federated", *everyone, "--base", base, "-o", tmp_path / "text.safetensors",
                 "--max-update-ratio", "5", status=0)
    assert "times the median" in run.out and "rejected" in run.out
    kilter("reproduce", tmp_path / "next.safetensors", tmp_path / "again.safetensors", status=0)
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "next.safetensors").read_bytes()


def test_if_nobody_is_left(kilter, round_of, tmp_path):
    base, clients = round_of
    run = average(kilter, base, clients, tmp_path / "next.safetensors", "--max-norm", "1e-9", status=2)
    assert "every client was rejected" in run.out and "above 1e-09" in run.out, run
    assert not (tmp_path / "next.safetensors").exists()


@pytest.mark.parametrize("write", ["metadata", "config", "torch"])
def test_where_counts_of_samples_are_found(kilter, round_of, tmp_path, write):
    base, clients = round_of
    tensors = load_file(clients[0])
    if write == "metadata":
        save_file(tensors, tmp_path / "own.safetensors", {"sample_count": "700"})
        own = tmp_path / "own.safetensors"
    elif write == "config":
        own = tmp_path / "own"
        own.mkdir()
        save_file(tensors, own / "model.safetensors")
        (own / "config.json").write_text('{"num_examples": 700}')
    else:
        own = tmp_path / "own.pt"
        torch.save({"state_dict": tensors, "num_samples": 700}, own)
    made = average(kilter, base, [own, clients[1]], tmp_path / "next.safetensors")
    assert [row["samples"] for row in made["clients"]] == [700, 300]


@pytest.mark.parametrize("options, said", [
    (["--samples", "1,2"], "one count of samples for each client"),
    (["--samples", "1,2,3", "--equal"], "exclude each other"),
    (["--samples", "0,1,1"], "no count of samples above 0"),
    (["--noise", "1"], "--clip"),
    (["--clip", "-1"], "above 0"),
    (["--clip", "1", "--noise", "1", "--delta", "2"], "delta"),
    (["--seed", "x"], "whole number"),
    (["--weights", "1,2,3"], "--samples"),
])
def test_wrong_usage(kilter, round_of, tmp_path, options, said):
    base, clients = round_of
    run = average(kilter, base, clients, tmp_path / "next.safetensors", *options, status=2)
    assert said in run.out + run.err and not (tmp_path / "next.safetensors").exists(), run


def test_clients_that_state_nothing(kilter, round_of, tmp_path):
    base, clients = round_of
    run = average(kilter, base, [base, *clients], tmp_path / "next.safetensors", status=2)
    assert "base.safetensors" in run.out + run.err and "--samples" in run.out + run.err
    run = kilter("average", *clients, "-o", tmp_path / "next.safetensors", "--clip", "1", status=2)
    assert "goes with --federated" in run.err


# --- noise --------------------------------------------------------------------------------------------------


def test_noise_has_the_stated_deviation_and_is_the_same_for_any_threads(kilter, tmp_path):
    base = {"w": torch.zeros(500, 800), "v": torch.zeros(100_000)}
    save_file(base, tmp_path / "base.safetensors")
    for i in range(4):
        save_file(base, tmp_path / f"{i}.safetensors", {"num_samples": str(10 * (i + 1))})
    clients = [tmp_path / f"{i}.safetensors" for i in range(4)]
    made = average(kilter, tmp_path / "base.safetensors", clients, tmp_path / "a.safetensors", "--clip", "2",
                   "--noise", "0.5", "--seed", "11", "--threads", "1", "--max-memory", "32MiB")
    average(kilter, tmp_path / "base.safetensors", clients, tmp_path / "b.safetensors", "--clip", "2", "--noise",
            "0.5", "--seed", "11", "--threads", "8")
    average(kilter, tmp_path / "base.safetensors", clients, tmp_path / "c.safetensors", "--clip", "2", "--noise",
            "0.5", "--seed", "12")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    deviation = 0.5 * 2 * 0.4
    assert made["noise_deviation"] == pytest.approx(deviation)
    one, other = load_file(tmp_path / "a.safetensors"), load_file(tmp_path / "c.safetensors")
    for name, tensor in one.items():
        noise = tensor.double().numpy().ravel()
        count = noise.size
        assert abs(noise.mean()) < 5 * deviation / math.sqrt(count)
        assert abs(noise.var() / deviation**2 - 1) < 5 * math.sqrt(2 / count)
        ordered = np.sort(noise) / deviation  # Kolmogorov-Smirnov, at 1 in 10^5
        below = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in ordered[::50]])
        assert np.abs(below - (np.arange(0, count, 50) + 0.5) / count).max() < 2.5 / math.sqrt(count)
        again = other[name].double().numpy().ravel()
        assert abs(np.corrcoef(noise, again)[0, 1]) < 5 / math.sqrt(count)
        assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < 5 / math.sqrt(count)
    assert abs(np.corrcoef(one["w"].ravel()[:100_000].numpy(), one["v"].numpy())[0, 1]) < 5 / math.sqrt(100_000)
    kilter("reproduce", tmp_path / "a.safetensors", tmp_path / "again.safetensors", status=0)


def test_without_a_seed_the_noise_is_nobodys(kilter, round_of, tmp_path):
    base, clients = round_of
    for name in ("a", "b"):
        average(kilter, base, clients, tmp_path / f"{name}.safetensors", "--clip", "1", "--noise", "1")
    assert not torch.equal(load_file(tmp_path / "a.safetensors")["layer.bias"],
                           load_file(tmp_path / "b.safetensors")["layer.bias"])
    assert "seed" not in json.loads(metadata(tmp_path / "a.safetensors")["kilter.recipe"])
    run = kilter("reproduce", tmp_path / "a.safetensors", tmp_path / "again.safetensors")
    assert run.status == 3 and "kept out of the recipe" in run.err, run


def hockey_stick(multiplier, epsilon):
    """delta(epsilon) of two normal distributions a distance of 1 apart, by integrating max(0, p - e^epsilon q)."""
    x = np.linspace(-40 * multiplier, 40 * multiplier + 1, 2_000_001)
    p = np.exp(-(((x - 1) / multiplier) ** 2) / 2)
    q = np.exp(-((x / multiplier) ** 2) / 2 + epsilon)
    return np.maximum(p - q, 0).sum() * (x[1] - x[0]) / (multiplier * math.sqrt(2 * math.pi))


@pytest.mark.parametrize("multiplier, delta", [("0.5", "1e-5"), ("1", "1e-5"), ("1.1", "1e-6"), ("4", "1e-3"),
                                               ("20", "1e-2"), ("50", "0.1")])
def test_epsilon_is_that_of_the_definition(kilter, round_of, tmp_path, multiplier, delta):
    base, clients = round_of
    epsilon = average(kilter, base, clients, tmp_path / "next.safetensors", "--clip", "1", "--noise", multiplier,
                      "--delta", delta, "--dry-run")["epsilon"]
    if epsilon == 0:
        assert hockey_stick(float(multiplier), 0) <= float(delta) * 1.001
    else:
        assert hockey_stick(float(multiplier), epsilon) == pytest.approx(float(delta), rel=2e-3)


def test_the_text_says_what_the_bound_assumes(kilter, round_of, tmp_path):
    base, clients = round_of
    run = kilter("average", "--federated", *clients, "--base", base, "-o", tmp_path / "next.safetensors", "--clip",
                 "1", "--noise", "1", "--seed", "3", status=0)
    assert "epsilon 4.3" in run.out and "this round" in run.out and "seed is in the recipe" in run.out, run.out
