"""What goes into a store comes out of it, byte for byte, and is there once."""

import json
import os
import subprocess

import numpy as np
import pytest

from checkpoints import files_below, safetensors, write_series


def save(kilter, *arguments, **more):
    return kilter("save", *arguments, "--json", status=0, **more).json["saved"]


def test_every_real_file_comes_back(kilter, real_data, tmp_path):
    store, roots = tmp_path / "real.kilter", []
    for kind in sorted(path for path in real_data.iterdir() if path.is_dir()):
        saved = save(kilter, kind, f"{store}@{kind.name}")[0]
        assert saved["bytes"] == sum(len(content) for content in files_below(kind).values())
        roots.append(kind)
    for kind in roots:
        out = tmp_path / "out" / kind.name
        out.parent.mkdir(exist_ok=True)
        kilter("restore", f"{store}@{kind.name}", out, status=0)
        assert files_below(out) == files_below(kind)
    again = save(kilter, roots[0], f"{store}@{roots[0].name}")[0]
    assert again["new_bytes"] == 0  # nothing new, the tree included


def test_a_tensor_is_stored_once_whatever_file_holds_it(kilter, tmp_path):
    weights = np.random.default_rng(1).normal(0, 1, (64, 128))
    (tmp_path / "a.safetensors").write_bytes(safetensors({"w": weights}))
    kilter("convert", tmp_path / "a.safetensors", tmp_path / "b.pt", status=0)
    store = tmp_path / "s.kilter"
    first = save(kilter, tmp_path / "a.safetensors", store)[0]
    second = save(kilter, tmp_path / "b.pt", store)[0]
    assert first["new_bytes"] > weights.size * 4
    assert second["new_bytes"] < second["bytes"] - weights.size * 4 + 2000
    out = tmp_path / "out.pt"
    kilter("restore", f"{store}@main", out, status=0)
    assert out.read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_a_step_stores_only_what_changed(kilter, tmp_path):
    write_series(tmp_path / "run", [10, 20], size=8000)
    store = tmp_path / "s.kilter"
    first, second = (save(kilter, tmp_path / "run" / f"checkpoint-{step}", store)[0] for step in (10, 20))
    assert first["new_bytes"] - second["new_bytes"] > 8000 * 4 - 2000  # the frozen tensor


@pytest.mark.parametrize("name", ["with space", "quote\"d", "ünïcode€", "a@b", "per%cent", "-dash", "tab-less~1",
                                  ".hidden", "x" * 200])
def test_odd_names(kilter, tmp_path, name):
    source, store = tmp_path / "source", tmp_path / "s.kilter"
    (source / name).mkdir(parents=True)
    (source / name / name).write_bytes(b"inside")
    (source / f"{name}.txt").write_bytes(b"beside")
    save(kilter, source, store)
    kilter("restore", f"{store}@main", tmp_path / "out", status=0)
    assert files_below(tmp_path / "out") == files_below(source)
    assert kilter("cat", f"{store}@main/{name}/{name}", status=0).out == "inside"


def test_names_that_are_no_utf_8_come_back_or_are_refused(kilter, tmp_path):
    source, store = tmp_path / "source", tmp_path / "s.kilter"
    source.mkdir()
    for name in (b"\xff", b"\xfe"):
        (source / os.fsdecode(name)).write_bytes(name)
    run = kilter("save", source, store)
    if run.status == 0:
        kilter("restore", f"{store}@main", tmp_path / "out", status=0)
        assert files_below(tmp_path / "out") == files_below(source)


def test_empty_files(kilter, tmp_path):
    source, store = tmp_path / "source", tmp_path / "s.kilter"
    source.mkdir()
    (source / "empty").touch()
    (source / "full").write_bytes(b"1")
    save(kilter, source, store)
    kilter("restore", f"{store}@main", tmp_path / "out", status=0)
    assert files_below(tmp_path / "out") == files_below(source)


def test_an_empty_folder(kilter, tmp_path):
    source, store = tmp_path / "source", tmp_path / "s.kilter"
    source.mkdir()
    save(kilter, source, store)
    kilter("restore", f"{store}@main", tmp_path / "out", status=0)
    assert list((tmp_path / "out").iterdir()) == []


def test_one_file_of_a_commit(kilter, tmp_path):
    write_series(tmp_path / "run", [10])
    source, store = tmp_path / "run" / "checkpoint-10", tmp_path / "s.kilter"
    save(kilter, source, store)
    kilter("restore", f"{store}@main/config.json", tmp_path / "c.json", status=0)
    assert (tmp_path / "c.json").read_bytes() == (source / "config.json").read_bytes()
    assert kilter("cat", f"{store}@main/config.json", status=0).out == (source / "config.json").read_text()
    kilter("cat", f"{store}@main/none.json", status=4)
    files = kilter("ls", f"{store}@main", "--json", status=0).json["files"]
    assert files == [{"path": p, "bytes": len(c)} for p, c in sorted(files_below(source).items())]
    tensors = kilter("ls", f"{store}@main", "--tensors", "*.weight", "--json", status=0).json["tensors"]
    assert [t["name"] for t in tensors] == ["a.weight", "b.weight", "frozen.weight"]
    assert tensors[0]["dtype"] == "f32" and tensors[0]["shape"] == [100, 40] and tensors[0]["bytes"] == 16000
    whole = (source / tensors[1]["file"]).read_bytes()
    begin = tensors[1]["offset"]
    cat = subprocess.run([kilter.path, "cat", f"{store}@main", "--tensor", "b.weight"], capture_output=True, check=True)
    assert cat.stdout == whole[begin:begin + tensors[1]["bytes"]]


def test_links_are_kept_as_files_and_other_things_refused(kilter, tmp_path):
    source, store = tmp_path / "source", tmp_path / "s.kilter"
    source.mkdir()
    (tmp_path / "blob").write_bytes(b"far away")
    (source / "link").symlink_to(tmp_path / "blob")
    save(kilter, source, store)
    kilter("restore", f"{store}@main", tmp_path / "out", status=0)
    assert (tmp_path / "out" / "link").read_bytes() == b"far away" and not (tmp_path / "out" / "link").is_symlink()
    os.mkfifo(source / "pipe")
    run = kilter("save", source, store, "--json", status=2)
    assert "pipe" in run.json["error"]["path"]
    save(kilter, source, store, "--skip", "pipe")


def test_refusals(kilter, tmp_path):
    source, store = tmp_path / "w.safetensors", tmp_path / "s.kilter"
    source.write_bytes(safetensors({"w": np.zeros((64, 64))}))
    kilter("log", store, status=4)
    kilter("save", tmp_path / "missing", store, status=4)
    assert not store.exists()
    save(kilter, source, store, "--tag", "v1")
    kilter("save", source, store, "--tag", "v1", status=2)
    assert len(kilter("log", store, "--json").json["commits"]) == 1
    for name in ("..", "a..b", "a//b", "-x", ".x", "a b", "x/", "deadbeef", "y" * 201, "a:b"):
        run = kilter("save", source, f"{store}@{name}", "--json")
        assert run.status == 2, (name, run)
    kilter("restore", f"{store}@none", tmp_path / "out", status=4)
    out = tmp_path / "out"
    out.write_bytes(b"mine")
    kilter("restore", f"{store}@v1", out, status=2)
    assert out.read_bytes() == b"mine"
    kilter("restore", f"{store}@v1", out, "--force", status=0)
    assert out.read_bytes() == source.read_bytes()
    other = tmp_path / "other"
    other.mkdir()
    (other / "x").write_bytes(b"x")
    kilter("save", source, other, status=2)
    assert [path.name for path in other.iterdir()] == ["x"]
    for loss in ("low", ""):
        kilter("save", source, store, "--loss", loss, status=2)


def test_a_file_is_not_taken_for_a_store(kilter, tmp_path):
    source = tmp_path / "w.safetensors"
    source.write_bytes(safetensors({"w": np.zeros((64, 64))}))
    before = source.read_bytes()
    for words in (("save", source, source), ("save", source, f"{source}@branch")):
        run = kilter(*words, "--json", status=2)
        error = run.json["error"]
        assert error["path"] == str(source) and "is a file" in error["message"], run
        assert "kilter-store.json" not in run.out and "runs.kilter" in error["hint"], run
    store = tmp_path / "s.kilter"
    kilter("save", source, store, status=0)
    assert "is a file" in kilter("push", store, source, status=2).err
    assert source.read_bytes() == before


def test_what_cannot_be_read_is_saved_and_told(kilter, tmp_path):
    source, store = tmp_path / "source", tmp_path / "s.kilter"
    source.mkdir()
    whole = safetensors({"w": np.ones((64, 64)), "v": np.ones(2000)})
    (source / "whole.safetensors").write_bytes(whole)
    kilter("convert", source / "whole.safetensors", source / "cut.pt", status=0)
    (source / "cut.pt").write_bytes((source / "cut.pt").read_bytes()[:9000])
    (source / "cut.safetensors").write_bytes(whole[:-100])
    (source / "notes.txt").write_text("no checkpoint, and nothing is wrong with that")
    (source / "empty").write_bytes(b"")
    run = kilter("save", source, store, "--json", status=0)
    saved = run.json["saved"][0]
    warnings = {warning["path"]: warning for warning in saved["warnings"]}
    assert set(warnings) == {str(source / "cut.pt"), str(source / "cut.safetensors")}
    assert "100 bytes are missing" in warnings[str(source / "cut.safetensors")]["message"]
    assert all(f"warning: {path}" in run.err for path in warnings), run
    kilter("restore", store, tmp_path / "out", status=0)
    assert files_below(tmp_path / "out") == files_below(source)
    # A single file; and one that is whole is worth no word.
    assert save(kilter, source / "cut.safetensors", store)[0]["warnings"]
    run = kilter("save", source / "whole.safetensors", store, "--json", status=0)
    assert run.json["saved"][0]["warnings"] == [] and run.err == ""


def test_a_store_whose_making_was_cut_off_can_be_made(kilter, tmp_path):
    source, store = tmp_path / "x", tmp_path / "s.kilter"
    source.write_bytes(b"x")
    (store / "refs").mkdir(parents=True)
    (store / "refs" / ".lock").touch()
    kilter("save", source, store, status=0)


def test_tags_and_branches(kilter, tmp_path):
    write_series(tmp_path / "run", [10, 20, 30])
    store = tmp_path / "s.kilter"
    save(kilter, "--series", *(tmp_path / "run").iterdir(), store)
    made = kilter("tag", f"{store}@step:20", "v1.0", "--json", status=0).json
    assert made["done"] == "made"
    kilter("tag", f"{store}@step:30", "v1.0", status=2)
    assert kilter("tag", f"{store}@step:30", "v1.0", "--force", "--json", status=0).json["done"] == "moved"
    assert [tag["name"] for tag in kilter("tag", store, "--json", status=0).json["tags"]] == ["v1.0"]
    kilter("branch", f"{store}@step:10", "retry/low-rate", status=0)
    saved = save(kilter, tmp_path / "run" / "checkpoint-30", f"{store}@retry/low-rate")[0]
    shown = kilter("show", f"{store}@retry/low-rate", "--json", status=0).json
    assert shown["commit"] == saved["commit"]
    first = kilter("show", f"{store}@main~2", "--json", status=0).json
    assert shown["parents"] == [first["commit"]] and first["metadata"]["step"] == 10
    assert kilter("cat", f"{store}@retry/low-rate/config.json", status=0).out
    kilter("tag", store, "v1.0", "--delete", status=0)
    kilter("tag", store, "v1.0", "--delete", status=4)
    begun = save(kilter, tmp_path / "run" / "checkpoint-30", f"{store}@new", "--parent", "main~1")[0]
    assert kilter("show", f"{store}@new~1", "--json").json["metadata"]["step"] == 20
    assert kilter("show", f"{store}@{begun['commit'][:12]}", "--json").json["commit"] == begun["commit"]
    refs = kilter("ls", store, "--json", status=0).json["refs"]
    assert {ref["name"] for ref in refs} == {"main", "retry/low-rate", "new"}


def test_metadata_is_what_the_user_says(kilter, tmp_path):
    source, store = tmp_path / "x.bin", tmp_path / "s.kilter"
    source.write_bytes(b"x")
    save(kilter, source, store, "--step", "7", "--loss", "1.5", "--meta", "hyper.lr=2e-5", "--meta", "note=a=b",
         "--meta", "list=[1,2]", "--meta", "yes=true", "-m", "a message", "--author", "Ada")
    shown = kilter("show", f"{store}@main", "--json", status=0).json
    assert shown["metadata"] == {"step": 7, "loss": 1.5, "hyper.lr": 2e-5, "note": "a=b", "list": [1, 2], "yes": True}
    assert shown["message"] == "a message" and shown["author"] == "Ada" and shown["tensors"] == 0
    assert json.dumps(shown)
