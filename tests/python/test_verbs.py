"""The verbs return what the program prints with --json."""

import json

import numpy as np
import pytest
import torch

import kilter


@pytest.fixture
def sample():
    torch.save({"model": torch.nn.Linear(4, 4).state_dict(), "epoch": 3}, "a.pt")
    return "a.pt"


def without_seconds(report):
    return {key: value for key, value in report.items() if key != "seconds"}


def test_inspect_scan_and_verify_say_what_the_program_says(sample, kilter_program):
    assert kilter.inspect(sample) == kilter_program("inspect", sample, "--json").json
    assert kilter.inspect(sample, tensors="*", tree=True) == kilter_program(
        "inspect", sample, "--json", "--tensors", "--tree").json
    assert kilter.scan([sample]) == kilter_program("scan", sample, "--json").json
    assert kilter.verify(sample, numbers=True) == kilter_program(
        "verify", sample, "--json", "--numbers").json


def test_convert_says_what_the_program_says_and_writes_the_same(sample, kilter_program):
    report = kilter.convert(sample, "b.safetensors")
    program = kilter_program("convert", sample, "c.safetensors", "--json").json
    mine, its = json.dumps(without_seconds(report)), json.dumps(without_seconds(program))
    assert mine.replace("b.s", "c.s") == its
    assert open("b.safetensors", "rb").read() == open("c.safetensors", "rb").read()


def test_convert_takes_parts_and_renames(sample):
    kilter.convert(sample, "b.safetensors", only=["*weight"], rename={"weight": "w"})
    assert list(kilter.open("b.safetensors")) == ["w"]
    with pytest.raises(kilter.AlreadyExistsError):
        kilter.convert(sample, "b.safetensors")
    dry = kilter.convert(sample, "b.safetensors", force=True, dry_run=True)
    assert dry["dry_run"] is True


def test_damage_is_a_report_and_what_is_whole_is_rescued():
    kilter.save({"a": np.ones(1000), "b": np.ones(1000)}, "a.safetensors")
    data = open("a.safetensors", "rb").read()
    open("cut.safetensors", "wb").write(data[:-10])
    report = kilter.verify("cut.safetensors", rescue="whole.safetensors")
    assert report["sound"] is False and report["findings"]
    assert list(kilter.open("whole.safetensors")) == ["a"]


def test_dangerous_files_are_told():
    import pickle

    class Evil:
        def __reduce__(self):
            return (print, ("never run",))

    open("evil.pkl", "wb").write(pickle.dumps(Evil()))
    assert kilter.scan("evil.pkl")["verdict"] in ("dangerous", "suspicious")


@pytest.fixture
def kilter_program(request):
    return request.getfixturevalue("kilter")
