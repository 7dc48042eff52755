"""diff beside numpy, on models that transformers made and on numbers that are awkward."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from float64 import as_float64


def diff(kilter, a, b, *options, status):
    return kilter("diff", a, b, "--json", *options, status=status).json


def row(report, name):
    return next(tensor for tensor in report["tensors"] if tensor["name"] == name)


def check_numbers(got, a, b):
    """`got` is what numpy says of float64 `a` and `b`."""
    finite = np.isfinite(a) & np.isfinite(b)
    difference = b[finite] - a[finite]
    assert got["elements"] == a.size and got["not_finite"] == (~finite).sum()
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    assert got["changed"] == (~same).sum()
    assert got["largest"] == (np.abs(difference).max() if difference.size else 0)
    a, b = a[finite], b[finite]
    expected = {"mean": difference.mean(), "rms": np.sqrt((difference**2).mean()),
                "cosine": (a @ b) / np.linalg.norm(a) / np.linalg.norm(b),
                "relative_norm": np.linalg.norm(difference) / np.linalg.norm(a)}
    for key, value in expected.items():
        assert got[key] == pytest.approx(value, rel=1e-9, abs=1e-15), key


def test_fine_tunes_in_numbers(kilter, tunes):
    report = diff(kilter, tunes / "base", tunes / "b", status=1)
    base, tuned = load_file(tunes / "base" / "model.safetensors"), {}
    for part in (tunes / "b").glob("*.safetensors"):
        tuned |= load_file(part)
    assert {tensor["name"] for tensor in report["tensors"]} == base.keys()
    for name in base:
        same = torch.equal(base[name], tuned[name])  # what rounding to bf16 left of the norms
        assert row(report, name)["change"] == ("identical" if same else "changed")
        check_numbers(row(report, name), as_float64(base[name]).ravel(), as_float64(tuned[name]).ravel())
    check_numbers(report["total"], np.concatenate([as_float64(base[n]).ravel() for n in base]),
                  np.concatenate([as_float64(tuned[n]).ravel() for n in base]))


def test_the_same_in_any_format(kilter, tunes, tmp_path):
    kilter("convert", tunes / "b", tmp_path / "b.pt", status=0)
    report = diff(kilter, tunes / "b", tmp_path / "b.pt", status=0)
    assert report["same"] and all(tensor["change"] == "identical" for tensor in report["tensors"])
    assert "identical" in kilter("diff", tmp_path / "b.pt", tunes / "b", status=0).out


@pytest.mark.parametrize("narrow", ["f16", "bf16", "f8_e4m3", "f8_e5m2"])
def test_equal_after_rounding(kilter, tmp_path, narrow):
    tensors = {"w": torch.randn(100, 33) * 0.1, "v": torch.randn(5000)}
    save_file(tensors, tmp_path / "wide.safetensors")
    kilter("cast", tmp_path / "wide.safetensors", tmp_path / "narrow.safetensors", "--dtype", narrow, status=0)
    for pair in (("wide", "narrow"), ("narrow", "wide")):
        report = diff(kilter, *(tmp_path / f"{name}.safetensors" for name in pair), status=1)
        assert {tensor["change"] for tensor in report["tensors"]} == {"equal after rounding"}
    changed = load_file(tmp_path / "narrow.safetensors")
    bytes_of = changed["v"].view(torch.uint8)
    bytes_of[-1] ^= 1
    save_file(changed, tmp_path / "narrow.safetensors")
    report = diff(kilter, tmp_path / "wide.safetensors", tmp_path / "narrow.safetensors", status=1)
    assert row(report, "v")["change"] == "changed" and row(report, "w")["change"] == "equal after rounding"


def test_awkward_numbers(kilter, tmp_path):
    inf, nan = np.inf, np.nan
    a = torch.tensor([0.0, 1, inf, inf, nan, nan, -inf, 3, 4, 5, 6], dtype=torch.float64)
    b = torch.tensor([-0.0, 2, inf, -inf, nan, 1, nan, nan, 4, 5, 6.5], dtype=torch.float64)
    save_file({"w": a, "e": torch.zeros(0, 3), "s": torch.tensor(2.0), "z": torch.zeros(9)}, tmp_path / "a.safetensors")
    save_file({"w": b, "e": torch.zeros(0, 3), "s": torch.tensor(2.5), "z": torch.zeros(9)}, tmp_path / "b.safetensors")
    report = diff(kilter, tmp_path / "a.safetensors", tmp_path / "b.safetensors", status=1)
    check_numbers(row(report, "w"), a.numpy(), b.numpy())
    assert row(report, "e")["change"] == row(report, "z")["change"] == "identical"
    assert row(report, "s")["largest"] == 0.5


def test_what_is_here_and_there(kilter, tmp_path):
    save_file({"gone": torch.ones(2), "shape": torch.ones(2, 3), "n": torch.arange(9), "d": torch.ones(2)},
              tmp_path / "a.safetensors", {"step": "1"})
    save_file({"new": torch.zeros(2), "shape": torch.ones(4, 2), "n": torch.arange(9) // 8 * 8,
               "d": torch.ones(2, dtype=torch.int32)}, tmp_path / "b.safetensors", {"step": "2"})
    report = diff(kilter, tmp_path / "a.safetensors", tmp_path / "b.safetensors", status=1)
    assert {tensor["name"]: tensor["change"] for tensor in report["tensors"]} == {
        "gone": "only in A", "shape": "shape changed", "n": "changed", "d": "dtype changed", "new": "only in B"}
    assert row(report, "n")["changed"] == 7 and report["texts"] == [
        {"name": "__metadata__.step", "before": "1", "after": "2"}]
    text = kilter("diff", tmp_path / "a.safetensors", tmp_path / "b.safetensors", status=1).out
    assert "- gone" in text and "+ new" in text and "f32 [2, 3] -> f32 [4, 2]" in text


def test_config_of_folders(kilter, tunes, tmp_path):
    kilter("cast", tunes / "a", tmp_path / "half", "--dtype", "f16", status=0)
    report = diff(kilter, tunes / "a", tmp_path / "half", status=1)
    assert "config.json" in [text["name"] for text in report["texts"]]


def test_threads_change_nothing(kilter, tmp_path):
    for name in "ab":
        save_file({"large": torch.randn(9_000_000), "small": torch.randn(77)}, tmp_path / f"{name}.safetensors")
    reports = [diff(kilter, tmp_path / "a.safetensors", tmp_path / "b.safetensors", "--threads", n, status=1)
               for n in (1, 2, 8)]
    assert all(one["tensors"] == reports[0]["tensors"] and one["total"] == reports[0]["total"] for one in reports)
    a, b = (load_file(tmp_path / f"{name}.safetensors") for name in "ab")
    check_numbers(row(reports[0], "large"), as_float64(a["large"]), as_float64(b["large"]))


def test_steps_in_a_store_by_numbers(kilter, tunes, tmp_path):
    store = tmp_path / "runs.kilter"
    for name in ("a", "b"):
        kilter("save", tunes / name, store, status=0)
    by_chunks = kilter("diff", f"{store}@main~1", f"{store}@main", "--json", status=1).json
    assert "new_bytes" in by_chunks
    by_numbers = diff(kilter, f"{store}@main~1", f"{store}@main", "--numbers", status=1)
    plain = diff(kilter, tunes / "a", tunes / "b", status=1)
    assert by_numbers["total"] == plain["total"]
    assert diff(kilter, f"{store}@main", tunes / "b", status=0)["same"]


def test_errors(kilter, tunes, tmp_path):
    run = kilter("diff", tunes / "a", tmp_path / "none.safetensors", "--json", status=4)
    assert json.loads(run.out)["error"]["code"] == "not_found"
