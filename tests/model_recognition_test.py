"""Recognition end to end: `kilter inspect --json` on sparse files of real models' key sets.

KILTER_BIN   the program (default: the one the other tests use)
"""

import os
from pathlib import Path

import pytest

from kilter_program import Program
from make_model_samples import Sample, sample_names, write_sample, write_shards


@pytest.fixture(scope="module")
def program(request, tmp_path_factory):
    path = os.environ.get("KILTER_BIN")
    return Program(Path(path), tmp_path_factory.mktemp("cache")) if path else request.getfixturevalue("kilter")


def answer_to(report, what):
    if what == "parameters":
        return str(report["parameter_count"])
    kind, _, name = what.partition(".")
    if kind == "size":
        return report["sizes"].get(name)
    if kind == "part":
        return next((str(part["tensors"]) for part in report["by_part"] if part["name"] == name), None)
    return report[what]["value"]


@pytest.mark.parametrize("name", sample_names())
def test_each_model_is_recognized_as_what_it_is(program, tmp_path, name):
    sample = Sample(name)
    report = program("inspect", "--json", write_sample(tmp_path, sample), status=0).json
    assert report["tensor_count"] == len(sample.tensors)
    for what, value in sample.expected:
        assert answer_to(report, what) == value, (what, report["architecture"])
    for what in ("instance", "type", "architecture", "variant", "adapter", "licence"):
        answer = report[what]
        assert 0 <= answer["confidence"] <= 1
        assert answer["value"] == "unknown" or answer["evidence"], what


def test_a_sharded_folder_of_140_gb_is_one_model(program, tmp_path):
    folder = write_shards(tmp_path, Sample("llama-2-70b"), 30)
    report = program("inspect", "--json", folder, status=0).json
    assert report["file_bytes"] > 137e9
    assert report["architecture"]["value"] == "llama"
    assert report["variant"]["value"] == "llama-2-70b"
    assert report["parameter_count"] == 68976648192


def test_a_folder_that_lacks_a_shard_is_never_taken_for_whole(program, tmp_path):
    folder = write_shards(tmp_path, Sample("llama-2-7b"), 6)
    missing = "model-00003-of-00006.safetensors"
    (folder / missing).unlink()
    run = program("inspect", "--json", folder)
    if "error" in run.json:
        assert run.status != 0
        assert missing in run.json["error"]["message"]
    else:
        assert run.json["type"]["value"] == "partial"


def test_one_shard_by_itself_is_partial(program, tmp_path):
    folder = write_shards(tmp_path, Sample("llama-2-7b"), 3)
    report = program("inspect", "--json", folder / "model-00002-of-00003.safetensors", status=0).json
    assert report["architecture"]["value"] == "llama"
    assert report["type"]["value"] == "partial"
