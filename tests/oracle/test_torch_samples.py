"""Every kind of file torch can save opens with torch's own bits, and comes back from a conversion."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

MAKER = Path(__file__).resolve().parent.parent / "make_torch_samples.py"
sys.path.insert(0, str(MAKER.parent))

import make_torch_samples as maker  # noqa: E402

# Objects of classes that weights-only loading refuses are written as dictionaries: tensors inside
# them come back under longer names.
RENAMED_BY_TORCH = {"module", "module_legacy", "nested", "script"}
# These hold classes of this file or of the archive's own code, which Kilter rightly does not know.
UNKNOWN_CLASSES = {"module", "module_legacy", "subclass", "lightning"}


@pytest.fixture(scope="session")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torch_samples")
    subprocess.run([sys.executable, "-W", "ignore", MAKER, folder], check=True, timeout=600)
    found = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    assert len(found) > 30
    return folder, found


def rows_by_kilter(kilter, path):
    answer = kilter("inspect", "--json", "--tensors", "--hash", path, status=0).json
    return {t["name"]: (t["dtype"], t["shape"], t["sha256"]) for t in answer["tensors"]}


def rows_of(expected):
    return {t["name"]: (t["dtype"], t["shape"], t["sha256"]) for t in expected["tensors"]}


def test_reads_what_torch_reads(kilter, samples):
    folder, found = samples
    differ = []
    for name, expected in sorted(found.items()):
        if rows_by_kilter(kilter, folder / expected["file"]) != rows_of(expected):
            differ.append(name)
    assert not differ


def test_scans_only_unknown_classes_as_suspicious(kilter, samples):
    folder, found = samples
    for name, expected in sorted(found.items()):
        run = kilter("scan", "--format", "json", folder / expected["file"])
        verdict = run.json["verdict"]
        if name not in UNKNOWN_CLASSES:
            assert verdict == "safe", (name, run)


def test_verifies_every_sample(kilter, samples):
    folder, found = samples
    for expected in found.values():
        kilter("verify", folder / expected["file"], status=0)


def test_torch_opens_what_is_written(kilter, samples, tmp_path):
    folder, found = samples
    for name, expected in sorted(found.items()):
        target = tmp_path / f"{name}.pt"
        kilter("convert", folder / expected["file"], target, "--to", "torch", status=0)
        torch.load(target, weights_only=True)
        written = rows_by_kilter(kilter, target)
        if name in RENAMED_BY_TORCH:
            assert sorted(written.values()) == sorted(rows_of(expected).values()), name
        else:
            assert written == rows_of(expected), name


def same(left, right, path=""):
    """Equal as torch sees them: dtype, layout, strides, bits, attributes, ties aside."""
    if isinstance(left, torch.Tensor):
        assert type(left) is type(right), path
        assert (left.dtype, left.layout, left.shape) == (right.dtype, right.layout, right.shape), path
        assert left.requires_grad == right.requires_grad, path
        if left.device.type == "meta":
            assert right.device.type == "meta", path
        elif left.layout != torch.strided:
            assert torch.equal(left.to_dense(), right.to_dense()), path
        elif left.is_quantized:
            assert left.qscheme() == right.qscheme(), path
            assert torch.equal(left.dequantize(), right.dequantize()), path
        else:
            assert maker.raw_bytes(left) == maker.raw_bytes(right), path
        return
    assert type(left) is type(right), path
    if isinstance(left, dict):
        assert list(left) == list(right), path
        for key in left:
            same(left[key], right[key], f"{path}.{key}")
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right), path
        for position, (a, b) in enumerate(zip(left, right)):
            same(a, b, f"{path}.{position}")
    else:
        assert left == right, path


@pytest.mark.parametrize("name", ["dtypes", "dtypes_legacy", "float4", "views", "views_legacy",
                                  "empty", "one_tensor", "list", "conjugate", "ties", "parameters",
                                  "state_dict", "optimizer", "sparse", "quantized", "meta", "deep",
                                  "wide", "untyped"])
def test_a_round_trip_gives_the_same_objects(kilter, samples, tmp_path, name):
    folder, found = samples
    source, target = folder / found[name]["file"], tmp_path / "out.pt"
    kilter("convert", source, target, status=0)
    same(torch.load(source, weights_only=True), torch.load(target, weights_only=True))


def test_ties_stay_tied(kilter, samples, tmp_path):
    folder, found = samples
    target = tmp_path / "out.pt"
    kilter("convert", folder / found["ties"]["file"], target, status=0)
    loaded = torch.load(target, weights_only=True)
    assert loaded["embed"] is loaded["head"]
    assert loaded["part"].untyped_storage().data_ptr() == loaded["embed"].untyped_storage().data_ptr()


def test_the_whole_value_of_a_training_checkpoint_comes_back(kilter, samples, tmp_path):
    folder, found = samples
    target = tmp_path / "out.ckpt"
    kilter("convert", folder / found["lightning"]["file"], target, "--to", "torch", status=0)
    loaded = torch.load(target, weights_only=True)
    assert loaded["epoch"] == 3 and loaded["big"] == -(2**100) and loaded["bytes"] == b"\x00\xffabc"
    assert loaded["set"] == {1, 2} and loaded["c"] == 1 + 2j and loaded["frozen"] == {3}
    assert loaded["size"] == torch.Size([2, 3]) and loaded["device"] == torch.device("cpu")
    assert loaded["dtype"] is torch.float16 and loaded["bytearray"] == bytearray(b"xy")
    assert loaded["hyper_parameters"]["__class__"] == "argparse.Namespace"
    assert loaded["hyper_parameters"]["state"] == {"lr": 1e-3, "layers": [1, 2], "name": "net"}
    assert loaded["optimizer_states"][0]["param_groups"][0]["betas"] == (0.9, 0.95)
