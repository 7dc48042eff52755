"""One address in every verb, and the slips that must not be taken for something else."""

import hashlib
import shutil
import subprocess

import numpy as np
import pytest

from checkpoints import files_below, safetensors, write_series


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("addresses") / "run"
    write_series(folder, [100, 200, 300])
    return folder


@pytest.fixture
def store(kilter, run_folder, tmp_path):
    store = tmp_path / "runs.kilter"
    kilter("save", "--series", f"{run_folder}/checkpoint-*", store, status=0)
    kilter("tag", f"{store}@step:100", "v1", status=0)
    return store


def test_a_store_without_a_reference_is_its_newest_checkpoint(kilter, store, run_folder, tmp_path):
    tip = kilter("inspect", f"{store}@main", "--json", status=0).json
    for name in (store, f"{store}/", f"{store}@", f"{store}@main/"):
        report = kilter("inspect", name, "--json", status=0).json
        assert report["files"] == tip["files"] and report["tensor_count"] == 3
        assert "sound" in kilter("verify", name, status=0).out
        assert "3 safe" in kilter("scan", name, status=0).out
        kilter("convert", name, tmp_path / "w.pt", "--force", status=0)
    kilter("restore", store, tmp_path / "back", status=0)
    assert files_below(tmp_path / "back") == files_below(run_folder / "checkpoint-300")


def test_inspect_shows_what_the_commit_states(kilter, store, run_folder):
    kilter("save", run_folder / "checkpoint-100", store, "--loss", "1.25", "--meta", "eval.mmlu=0.71",
           "--meta", 'data.windows=[{"dataset":"c4"}]', "-m", "measured again", status=0)
    report = kilter("inspect", store, "--json", "--tree", "--tensors", status=0).json
    commit = report["commit"]
    assert commit["commit"] == kilter("show", store, "--json").json["commit"]
    assert commit["message"] == "measured again" and commit["metadata"]["eval.mmlu"] == 0.71
    assert commit["metadata"]["loss"] == 1.25 and commit["metadata"]["data.windows"] == [{"dataset": "c4"}]
    assert report["tensors"] and "state" in report
    for name in (store, f"{store}@main/config.json"):
        text = kilter("inspect", name, status=0).out
        assert "eval.mmlu = 0.71" in text and "measured again" in text
    assert "commit" not in kilter("inspect", run_folder / "checkpoint-100", "--json", status=0).json


def test_cat_knows_every_tensor_by_the_names_that_are_listed(kilter, store, run_folder, tmp_path):
    def cat(address, name):
        return subprocess.run([kilter.path, "cat", address, "--tensor", name], stdout=subprocess.PIPE, check=True).stdout

    source = tmp_path / "checkpoint-400"
    shutil.copytree(run_folder / "checkpoint-300", source)
    state = {"state.0.exp_avg": np.arange(4000.0), "state.0.step": np.arange(1.0)}  # the second is too small for a chunk
    (tmp_path / "state.safetensors").write_bytes(safetensors(state))
    kilter("convert", tmp_path / "state.safetensors", source / "optimizer.pt", status=0)
    kilter("save", source, store, status=0)
    whole = kilter("inspect", store, "--hash", "--tensors", "--json", status=0).json["tensors"]
    assert {"optimizer.state.0.exp_avg", "optimizer.state.0.step"} < {tensor["name"] for tensor in whole}
    for tensor in whole:
        assert hashlib.sha256(cat(store, tensor["name"])).hexdigest() == tensor["sha256"]
    stored = kilter("ls", f"{store}@main", "--tensors", "--json", status=0).json["tensors"]
    assert len(stored) == 4
    for tensor in stored:
        content = (source / tensor["file"]).read_bytes()
        assert cat(f"{store}@main", tensor["name"]) == content[tensor["offset"]:tensor["offset"] + tensor["bytes"]]
    kilter("cat", f"{store}@v1", "--tensor", "none", status=4)
    kilter("cat", f"{store}@v1/none", status=4)
    assert "--tensor" in kilter("cat", f"{store}@v1", status=2).err


def test_ls_lists_below_a_path(kilter, store):
    def names(address, *options):
        return kilter("ls", address, *options, "--json", status=0).json

    assert [file["path"] for file in names(f"{store}@v1/config.json")["files"]] == ["config.json"]
    assert len(names(f"{store}@v1/model.safetensors", "--tensors")["tensors"]) == 3
    assert names(f"{store}@v1/config.json", "--tensors")["tensors"] == []
    kilter("ls", f"{store}@v1/none", status=4)
    kilter("ls", f"{store}@v1/none", "--tensors", status=4)


def test_a_branch_and_a_tag_never_share_a_name(kilter, store, run_folder):
    before = kilter("log", store, "--json").json
    kilter("save", run_folder / "checkpoint-200", f"{store}@v1", status=2)
    kilter("save", run_folder / "checkpoint-200", f"{store}@new", "--tag", "new", status=2)
    kilter("save", run_folder / "checkpoint-200", store, "--tag", "main", status=2)
    kilter("branch", f"{store}@step:200", "v1", status=2)
    kilter("tag", f"{store}@step:200", "main", status=2)
    assert kilter("log", store, "--json").json == before


@pytest.mark.parametrize("rules, status", [
    (["--best", "1:los"], 4), (["--best", "1:-accuracy", "--tagged"], 4), (["--last", "0"], 2), (["--every", "0"], 2),
    (["--last", "1"], 2)])  # the last, because "v1" names what would go
def test_rules_that_would_cost_what_nobody_meant(kilter, store, rules, status):
    before = kilter("log", store, "--json").json
    for options in (["--dry-run"], []):
        kilter("retain", store, *rules, *options, status=status)
    assert kilter("log", store, "--json").json == before
    kilter("retain", store, "--last", "1", "--tagged", status=0)
    kept = [c["metadata"]["step"] for c in kilter("log", store, "--json").json["commits"] if not c["retired"]]
    assert kept == [300, 100]


def test_copies_are_foreseen_and_go_on_where_they_were(kilter, store, tmp_path):
    copy = tmp_path / "copy.kilter"
    for verb in ("push", "clone"):
        plan = kilter(verb, store, copy, "--dry-run", "--json", status=0).json
        assert plan["commits"] == 3
        assert not copy.exists()
    copy.mkdir()
    (copy / "kilter-store.json").write_bytes((store / "kilter-store.json").read_bytes())  # what Ctrl-C at once leaves
    kilter("clone", store, copy, status=0)
    assert "sound" in kilter("check", copy, "--data", status=0).out
    kilter("clone", store, copy, status=2)
    kilter("push", store, tmp_path, "--dry-run", status=2)  # a folder of other things
    kilter("pull", tmp_path / "none.kilter", store, "--dry-run", status=4)


def test_a_series_saved_again_adds_only_what_has_come_since(kilter, store, run_folder, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    before = kilter("log", store, "--json").json
    again = kilter("save", "--series", f"{folder}/checkpoint-*", store, "--json", status=0).json["saved"]
    assert [item["present"] for item in again] == [True] * 3
    assert [item["commit"] for item in again[::-1]] == [commit["commit"] for commit in before["commits"]]
    assert kilter("log", store, "--json").json == before
    shutil.copytree(folder / "checkpoint-300", folder / "checkpoint-400")
    state = (folder / "checkpoint-400" / "trainer_state.json")
    state.write_text(state.read_text().replace('"global_step": 300', '"global_step": 400'))
    text = kilter("save", "--series", f"{folder}/checkpoint-*", store, status=0).out
    assert text.count("is there already") == 3
    steps = [commit["metadata"]["step"] for commit in kilter("log", store, "--json").json["commits"]]
    assert steps == [400, 300, 200, 100]
    # What was given up comes back, and what is stated otherwise is another commit.
    kilter("remove", f"{store}@step:200", status=0)
    back = kilter("save", "--series", f"{folder}/checkpoint-*", store, "--json", status=0).json["saved"]
    assert [item["present"] for item in back] == [True, False, True, True]
    other = kilter("save", "--series", f"{folder}/checkpoint-*", store, "--meta", "run=b", "--json", status=0).json
    assert not any(item["present"] for item in other["saved"])
    assert not kilter("save", folder / "checkpoint-100", store, "--json", status=0).json["saved"][0]["present"]


def test_lineage(kilter, store, run_folder, tmp_path):
    digest = kilter("show", f"{store}@v1", "--json").json["commit"]
    kilter("save", f"{store}@v1", tmp_path / "copy.kilter", status=0)
    assert kilter("show", tmp_path / "copy.kilter", "--json").json["lineage"] == [
        {"operation": "copy", "parameters": {}, "inputs": [f"{store}@{digest}"]}]
    kilter("save", run_folder / "checkpoint-300", f"{store}@merged", "--derived-from", f"{store}@v1", "--derived-from", "base-7b",
           "--operation", "merge", "--parameter", "weight=0.5", status=0)
    assert kilter("show", f"{store}@merged", "--json").json["lineage"] == [
        {"operation": "merge", "parameters": {"weight": 0.5}, "inputs": [f"{store}@{digest}", "base-7b"]}]
    assert f'merge of {store}@{digest}, base-7b  {{"weight":0.5}}' in kilter("show", f"{store}@merged").out
    kilter("save", run_folder / "checkpoint-300", store, "--operation", "merge", status=2)
    kilter("save", run_folder / "checkpoint-300", store, "--derived-from", f"{store}@none", status=4)


@pytest.mark.parametrize("options", [["--step", "7.5"], ["--step", "x"], ["--loss", "low"], ["--meta", "loss=low"], ["--meta", "step=-1"],
                                     ["--meta", "tokens_seen=many"], ["--meta", "a b=1"], ["--meta", "=1"]])
def test_what_contradicts_the_schema_is_refused(kilter, run_folder, tmp_path, options):
    kilter("save", run_folder / "checkpoint-100", tmp_path / "s.kilter", *options, status=2)
    assert not (tmp_path / "s.kilter").exists()


def test_a_loss_that_is_no_number_any_more_costs_no_checkpoint(kilter, run_folder, tmp_path):
    store = tmp_path / "s.kilter"
    kilter("save", run_folder / "checkpoint-100", store, "--loss", "2", status=0)
    for loss in ("nan", "NaN", "-inf"):
        kilter("save", run_folder / "checkpoint-100", store, "--loss", loss, status=0)
    assert kilter("show", store, "--json").json["metadata"]["loss"] == "-inf"
    assert kilter("show", f"{store}@best:loss", "--json").json["metadata"]["loss"] == 2
    plan = kilter("save", run_folder / "checkpoint-100", store, "--meta", "eval.mmlu=0.5", "--dry-run", status=0).out
    assert "eval.mmlu = 0.5" in plan and "epoch = 1" in plan
