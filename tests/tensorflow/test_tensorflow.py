"""Bundles that TensorFlow wrote, read by Kilter: data/ was made by make_bundles.py."""

import hashlib
import json
import pathlib
import shutil

import numpy as np
import pytest
import torch
from safetensors import safe_open

DATA = pathlib.Path(__file__).parent / "data"


def bytes_by_name(path):
    """Each tensor's bytes as safetensors holds them: any dtype, no interpretation."""
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:8 + size])
    data = raw[8 + size:]
    return {name: data[slice(*entry["data_offsets"])] for name, entry in header.items()
            if name != "__metadata__"}


def read(kilter, address, tmp_path):
    target = tmp_path / "out.safetensors"
    kilter("convert", address, target, "--force", status=0)
    return bytes_by_name(target)


def expected(group):
    with np.load(DATA / "expected.npz") as arrays:
        return {name.removeprefix(f"{group}/"): arrays[name].tobytes() for name in arrays
                if name.startswith(f"{group}/")}


def test_every_numeric_type_has_tensorflows_bytes(kilter, tmp_path):
    wanted = expected("dtypes")
    assert len(wanted) == 29
    assert read(kilter, DATA / "dtypes.index", tmp_path) == wanted


def test_types_and_shapes_are_told(kilter):
    tensors = {t["name"]: t for t in kilter("inspect", DATA / "dtypes", "--json", "--tensors",
                                            status=0).json["tensors"]}
    told = {"bfloat16": "bf16", "complex64": "c64", "float8_e4m3fn": "f8_e4m3fn", "bool": "bool",
            "float16": "f16", "uint64": "u64", "float8_e5m2fnuz": "f8_e5m2fnuz", "qint32": "i32"}
    assert {name: tensors[name]["dtype"] for name in told} == told
    assert tensors["empty"]["shape"] == [0, 4]
    assert tensors["scalar"]["shape"] == []


def test_partitioned_variables_are_whole(kilter, tmp_path):
    assert read(kilter, DATA / "partitioned", tmp_path) == expected("partitioned")


def test_two_shards_and_a_string(kilter, tmp_path):
    assert read(kilter, DATA / "two_shards", tmp_path) == expected("two_shards")


def test_strings_come_as_bytes_in_the_state(kilter, tmp_path):
    kilter("convert", DATA / "strings", tmp_path / "out.pt", status=0)
    state = torch.load(tmp_path / "out.pt", weights_only=True)

    def unhex(value):
        return bytes.fromhex(value) if isinstance(value, str) else [unhex(v) for v in value]

    wanted = json.loads((DATA / "expected_strings.json").read_text())
    assert {name: state[name] for name in wanted} == {k: unhex(v) for k, v in wanted.items()}
    assert state["number"].tolist() == [1, 2]


def test_a_training_folder_is_its_newest_checkpoint(kilter, tmp_path):
    suffix = "/.ATTRIBUTES/VARIABLE_VALUE"
    found = read(kilter, DATA / "training", tmp_path)
    wanted = expected("training/ckpt-3")
    assert {name: found[name + suffix] for name in wanted} == wanted
    kilter("convert", DATA / "training", tmp_path / "out.pt", status=0)
    graph = torch.load(tmp_path / "out.pt", weights_only=True)["_CHECKPOINTABLE_OBJECT_GRAPH"]
    assert graph["names"][f"layer/kernel{suffix}"] == "kernel"
    older = read(kilter, DATA / "training" / "ckpt-2", tmp_path)
    assert np.frombuffer(older[f"layer/bias{suffix}"], np.float32) == [1.0]


@pytest.mark.parametrize("bundle", ["dtypes", "strings", "partitioned", "two_shards", "training"])
def test_verify_finds_them_sound(kilter, bundle):
    assert kilter("verify", DATA / bundle, "--json", status=0).json["sound"]


def test_verify_names_the_tensor_whose_bit_flipped(kilter, tmp_path):
    for file in DATA.glob("partitioned.*"):
        shutil.copy(file, tmp_path)
    data = tmp_path / "partitioned.data-00000-of-00001"
    raw = bytearray(data.read_bytes())
    raw[-3] ^= 4
    data.write_bytes(raw)
    report = kilter("verify", tmp_path / "partitioned.index", "--json").json
    assert not report["sound"]
    assert [f["rule"] for f in report["findings"]] == ["tensorflow.tensor-corrupt"]
    assert report["findings"][0]["tensor"]


@pytest.mark.parametrize("name", sorted(json.loads((DATA / "expected_real.json").read_text())))
def test_real_bundles_have_tensorflows_bytes(kilter, real_data, tmp_path, name):
    wanted = json.loads((DATA / "expected_real.json").read_text())[name]
    found = {key: hashlib.sha256(raw).hexdigest()
             for key, raw in read(kilter, real_data / name, tmp_path).items()}
    assert found == wanted


def test_a_missing_data_file_is_named(kilter, real_data):
    run = kilter("inspect", real_data / "tf_ckpt" / "mtf_tiny_t5_incomplete")
    assert run.status != 0
    assert "model.ckpt-0.data-00001-of-00002" in run.err


def test_a_data_file_leads_to_its_index(kilter):
    run = kilter("inspect", DATA / "dtypes.data-00000-of-00001")
    assert run.status != 0
    assert f"open {DATA / 'dtypes.index'}" in run.out


def test_scan_calls_a_bundle_safe(kilter):
    assert kilter("scan", DATA / "training", "--json", status=0).json["verdict"] == "safe"


def test_a_folder_with_other_weights_lists_a_bundle_as_a_part(kilter, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    for file in DATA.glob("partitioned.*"):
        shutil.copy(file, folder)
    kilter("convert", DATA / "two_shards", folder / "model.safetensors", "--only", "left", status=0)
    kilter("convert", folder, tmp_path / "all.safetensors", status=0)
    found = bytes_by_name(tmp_path / "all.safetensors")
    assert found["partitioned.table"] == expected("partitioned")["table"]
    assert found["left"] == expected("two_shards")["left"]
    with safe_open(tmp_path / "all.safetensors", "numpy") as opened:
        assert opened.get_tensor("partitioned.table").shape == (7, 5)
