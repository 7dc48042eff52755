"""stats beside numpy and scipy in float64: every number, every dtype, real files."""

import json
import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy import stats as scipy_stats

TORCH = {"f64": torch.float64, "f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16,
         "f8_e4m3": torch.float8_e4m3fn, "f8_e5m2": torch.float8_e5m2, "i64": torch.int64, "i8": torch.int8,
         "u8": torch.uint8, "i16": torch.int16, "i32": torch.int32, "bool": torch.bool}
SMALLEST = {torch.float64: 2.0**-1022, torch.float32: 2.0**-126, torch.bfloat16: 2.0**-126, torch.float16: 2.0**-14,
            torch.float8_e4m3fn: 2.0**-6, torch.float8_e5m2: 2.0**-14}


def measure(kilter, path, *options):
    return kilter("stats", path, "--json", *options, status=0).json


def row(report, name):
    return next(tensor for tensor in report["tensors"] if tensor["name"] == name)


def check_numbers(got, values, smallest=0.0):
    """`got` is what numpy and scipy say of the float64 `values`."""
    finite = values[np.isfinite(values)]
    assert got["numbers"] == values.size and got["finite"] == finite.size
    assert got["nan"] == np.isnan(values).sum() and got["infinite"] == np.isinf(values).sum()
    assert got["zero"] == (finite == 0).sum()
    assert got["subnormal"] == ((finite != 0) & (np.abs(finite) < smallest)).sum()
    if finite.size == 0:
        return
    assert got["min"] == finite.min() and got["max"] == finite.max() and got["largest"] == np.abs(finite).max()
    close = {"mean": finite.mean(), "deviation": finite.std(), "l1": np.abs(finite).sum(),
             "l2": np.sqrt((finite**2).sum())}
    for key, value in close.items():
        assert got[key] == pytest.approx(value, rel=1e-9, abs=1e-12 * np.abs(finite).max()), key
    if finite.std() > 1e-9 * np.abs(finite).max():
        assert got["skewness"] == pytest.approx(scipy_stats.skew(finite), rel=1e-6, abs=1e-7)
        assert got["kurtosis"] == pytest.approx(scipy_stats.kurtosis(finite), rel=1e-6, abs=1e-7)
    check_histograms(got, finite)


def check_histograms(got, finite):
    bins = got["histogram"]
    assert len(bins["counts"]) <= 64 and bins["counts"][0] > 0 and bins["counts"][-1] > 0
    assert np.log2(bins["width"]) % 1 == 0 and (bins["first"] / bins["width"]) % 1 == 0
    edges = bins["first"] + bins["width"] * np.arange(len(bins["counts"]) + 1)
    places = np.floor(finite / bins["width"]).astype(np.int64) - int(bins["first"] / bins["width"])
    assert bins["counts"] == np.bincount(places, minlength=len(edges) - 1).tolist()
    numbers = finite[finite != 0]
    if numbers.size:
        exponents = np.frexp(np.abs(numbers))[1] - 1
        assert got["exponents"]["first"] == exponents.min()
        assert got["exponents"]["counts"] == np.bincount(exponents - exponents.min()).tolist()


def check_channels(got, norms, deviations=5):
    limit = norms.mean() + deviations * norms.std()
    outliers = np.flatnonzero(norms > limit)
    assert got["count"] == norms.size and got["dead"] == (norms == 0).sum()
    assert got["mean"] == pytest.approx(norms.mean(), rel=1e-9) and got["largest"] == pytest.approx(norms.max())
    assert got["deviation"] == pytest.approx(norms.std(), rel=1e-6, abs=1e-12)
    assert got["outlier_count"] == outliers.size
    wanted = sorted(outliers, key=lambda i: -norms[i])[:8]
    assert [one["index"] for one in got["outliers"]] == list(wanted)


def test_every_float_dtype(kilter, tmp_path):
    random = np.random.default_rng(1)
    wide = random.standard_normal((301, 67)) * 2.0 ** random.integers(-40, 8, (301, 67))
    wide[random.random(wide.shape) < 0.1] = 0
    tensors = {name: torch.from_numpy(wide).to(dtype) for name, dtype in TORCH.items() if dtype.is_floating_point}
    save_file(tensors, tmp_path / "all.safetensors")
    report = measure(kilter, tmp_path / "all.safetensors")
    for name, tensor in tensors.items():
        values = tensor.double().numpy()
        check_numbers(row(report, name), values.ravel(), SMALLEST[tensor.dtype])
        finite = np.where(np.isfinite(values), values, 0)
        check_channels(row(report, name)["rows"], np.linalg.norm(finite, axis=1))
        check_channels(row(report, name)["columns"], np.linalg.norm(finite, axis=0))
    check_numbers({**report["total"], "subnormal": 0},
                  np.concatenate([row.double().numpy().ravel() for row in tensors.values()]))


def test_integers_and_bool(kilter, tmp_path):
    random = np.random.default_rng(2)
    tensors = {"i64": torch.from_numpy(random.integers(-2**40, 2**40, 5000)), "i8": torch.arange(-128, 128).to(torch.int8),
               "u8": torch.arange(256).to(torch.uint8), "i16": torch.arange(-3000, 3000).to(torch.int16),
               "i32": torch.full((7,), 3, dtype=torch.int32), "bool": torch.arange(100) % 3 == 0}
    save_file(tensors, tmp_path / "n.safetensors")
    report = measure(kilter, tmp_path / "n.safetensors")
    for name, tensor in tensors.items():
        check_numbers(row(report, name), tensor.double().numpy())
    assert report["total"]["numbers"] == 0  # no floats


def test_complex_numbers_are_two(kilter, tmp_path):
    torch.save({"c": torch.randn(40, 3, dtype=torch.complex64)}, tmp_path / "c.pt")
    got = row(measure(kilter, tmp_path / "c.pt"), "c")
    check_numbers(got, torch.view_as_real(torch.load(tmp_path / "c.pt")["c"]).double().numpy().ravel())
    assert "rows" not in got


def test_what_is_not_finite(kilter, tmp_path):
    values = torch.randn(50, 40, dtype=torch.float64)
    values[3, 4], values[3, 5], values[9, 9], values[7] = np.nan, np.inf, -np.inf, 0
    values[8] = np.nan
    save_file({"w": values, "all": torch.full((5,), np.nan), "none": torch.zeros(0, 4), "scalar": torch.tensor(2.5)},
              tmp_path / "w.safetensors")
    report = measure(kilter, tmp_path / "w.safetensors")
    check_numbers(row(report, "w"), values.numpy().ravel())
    assert row(report, "w")["rows"]["dead"] == 1  # the row of NaN is not dead
    check_numbers(row(report, "all"), np.full(5, np.nan))
    assert row(report, "none")["numbers"] == 0 and row(report, "scalar")["mean"] == 2.5
    text = kilter("stats", tmp_path / "w.safetensors", status=0).out
    assert "41 NaN, 2 infinite, 1 dead row" in text


def test_a_large_mean_costs_no_digits(kilter, tmp_path):
    values = 1e6 + torch.randn(200_000, dtype=torch.float64)
    save_file({"w": values}, tmp_path / "w.safetensors")
    got = row(measure(kilter, tmp_path / "w.safetensors"), "w")
    assert got["deviation"] == pytest.approx(values.numpy().std(), rel=1e-10)
    assert got["kurtosis"] == pytest.approx(scipy_stats.kurtosis(values.numpy()), abs=1e-6)


def test_dead_and_outlying_channels(kilter, tmp_path):
    random = torch.Generator().manual_seed(3)
    plain, conv = torch.randn(200, 150, generator=random), torch.randn(90, 70, 3, 3, generator=random)
    plain[17] = 0
    plain[:, 33] *= 40
    conv[:, 11] *= 30
    conv[5] *= 30
    conv[:, 69] = 0
    tiny = torch.zeros(3, 40, dtype=torch.float64)
    tiny[1, 1] = 1e-300  # its square is below the smallest double
    save_file({"plain": plain, "conv": conv, "tiny": tiny}, tmp_path / "w.safetensors")
    report = measure(kilter, tmp_path / "w.safetensors")
    for name, tensor in (("plain", plain), ("conv", conv)):
        values = tensor.double().numpy()
        flat = values.reshape(*values.shape[:2], -1)
        check_channels(row(report, name)["rows"], np.sqrt((flat**2).sum((1, 2))))
        check_channels(row(report, name)["columns"], np.sqrt((flat**2).sum((0, 2))))
    assert row(report, "tiny")["rows"]["dead"] == 2 and row(report, "tiny")["columns"]["dead"] == 39
    assert [one["index"] for one in row(report, "plain")["columns"]["outliers"]] == [33]
    text = kilter("stats", tmp_path / "w.safetensors", status=0).out
    assert "1 dead row" in text and "1 outlier column: 33" in text
    none = measure(kilter, tmp_path / "w.safetensors", "--outlier-sigma", "50")
    assert row(none, "plain")["columns"]["outlier_count"] == 0


def test_threads_change_nothing(kilter, tmp_path):
    save_file({"large": torch.randn(70_001, 130).bfloat16(), "small": torch.randn(77)}, tmp_path / "w.safetensors")
    reports = [measure(kilter, tmp_path / "w.safetensors", "--threads", n) for n in (1, 2, 8)]
    for one in reports:
        assert one["tensors"] == reports[0]["tensors"] and one["total"] == reports[0]["total"]
    values = load_file(tmp_path / "w.safetensors")["large"].double().numpy()
    check_numbers(row(reports[0], "large"), values.ravel(), 2.0**-126)
    check_channels(row(reports[0], "large")["rows"], np.linalg.norm(values, axis=1))


def test_real_files(kilter, real_data):
    path = real_data / "safetensors" / "silero_vad_16k.safetensors"
    report = measure(kilter, path)
    for name, tensor in load_file(path).items():
        check_numbers(row(report, name), tensor.double().numpy().ravel(), SMALLEST.get(tensor.dtype, 0))
    path = real_data / "diff_pairs" / "sd15_lora.bin"
    report = measure(kilter, path)
    for name, tensor in torch.load(path, weights_only=True, map_location="cpu").items():
        check_numbers(row(report, name), tensor.double().numpy().ravel(), SMALLEST.get(tensor.dtype, 0))


def test_a_store_and_a_step_in_it(kilter, tmp_path):
    save_file({"w": torch.randn(30, 20)}, tmp_path / "w.safetensors")
    kilter("save", tmp_path / "w.safetensors", tmp_path / "runs.kilter", status=0)
    of_store = measure(kilter, tmp_path / "runs.kilter")
    assert of_store["commits"] == 1 and "tensors" not in of_store
    of_step = measure(kilter, f"{tmp_path / 'runs.kilter'}@main")
    assert of_step["tensors"] == measure(kilter, tmp_path / "w.safetensors")["tensors"]


def test_the_table(kilter, tmp_path):
    save_file({f"layers.{i}.weight": torch.randn(8, 8) * (i + 1) for i in range(50)}, tmp_path / "w.safetensors")
    run = kilter("stats", tmp_path / "w.safetensors", "--sort", "deviation", status=0)
    assert "\x1b" not in run.out and "10 more: --all" in run.out
    names = re.findall(r"layers\.(\d+)\.weight", run.out)
    assert len(names) == 40 and int(names[0]) > 40
    assert all(len(line) <= 80 for line in run.out.splitlines())
    assert kilter("stats", tmp_path / "w.safetensors", "--all", "--sort", "file", status=0).out.count("weight") == 50
    coloured = kilter("stats", tmp_path / "w.safetensors", "--color", "always", env={"NO_COLOR": "1"}, status=0)
    assert "\x1b[36m" in coloured.out  # asked for


def test_only_and_wrong_usage(kilter, tmp_path):
    save_file({"a.weight": torch.ones(2), "b.bias": torch.ones(2)}, tmp_path / "w.safetensors")
    report = measure(kilter, tmp_path / "w.safetensors", "--only", "*.bias")
    assert [tensor["name"] for tensor in report["tensors"]] == ["b.bias"]
    assert "no tensor has such a name" in kilter("stats", tmp_path / "w.safetensors", "--only", "x*", status=2).err
    assert "wants a number" in kilter("stats", tmp_path / "w.safetensors", "--outlier-sigma", "x", status=2).err
    error = json.loads(kilter("stats", tmp_path / "none", "--json", status=4).out)["error"]
    assert error["code"] == "not_found"
