"""Golden stores: what every reader must accept, byte for byte, and what it must refuse, by name."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from independent_reader import Damaged, Store

FOLDER = Path(__file__).parent / "golden"
CASES = {path.stem: path for path in sorted(FOLDER.glob("*.json"))}
# What the program does not do yet, and why it should.


def unpack(case, folder):
    for path, text in case["store"].items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(base64.b64decode(text))
    return folder


def files_below(path):
    if path.is_file():
        return {None: path.read_bytes()}
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def expected(case):
    return {path: base64.b64decode(text) for path, text in case["restore"].items()}


@pytest.mark.parametrize("name", CASES)
def test_program(kilter, tmp_path, name):
    case = json.loads(CASES[name].read_text())
    store, out = unpack(case, tmp_path / "golden.kilter"), tmp_path / "out"
    if "restore" in case:
        kilter("restore", f"{store}@main", out, status=0)
        found, wanted = files_below(out), expected(case)
        assert list(found.values()) == list(wanted.values()) if None in found else found == wanted
        # Damage beside a sound place may be told, but it hits nothing.
        assert not any(fault["affected"] for fault in kilter("check", store, "--data", "--json").json["faults"])
        return
    words = [word.replace("STORE", str(store)).replace("OUT", str(out)) for word in case["verb"]]
    run = kilter(*words, "--json")
    assert run.status == case["status"], run
    message = json.dumps(run.json["error"], ensure_ascii=False).replace('\\"', '"')
    assert all(text in message for text in case["says"]), (case["says"], message)
    assert not out.exists()


@pytest.mark.parametrize("name", CASES)
def test_independent_reader(tmp_path, name):
    case = json.loads(CASES[name].read_text())
    path = unpack(case, tmp_path / "golden.kilter")

    def read():
        store = Store(path)
        return store.files(store.find_commit("main"))
    if "restore" in case:
        assert read() == expected(case)
    else:
        with pytest.raises((Damaged, KeyError, OSError)):
            read()


def test_golden_stores_are_what_their_recipe_makes():
    script = Path(__file__).parent / "make_golden.py"
    done = subprocess.run([sys.executable, "-B", str(script), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
