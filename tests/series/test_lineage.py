"""Where a store's steps came from: recipes as lineage, commits by digest, steps made again."""

import json
import re

import pytest

from series_models import assert_same_bits, load, metadata


@pytest.fixture
def store(kilter, tunes, tmp_path):
    path = tmp_path / "runs.kilter"
    for step, name in enumerate(("base", "a", "b"), 1):
        kilter("save", tunes / name, path, "--step", step, status=0)
    return path


def test_a_recipe_names_commits_whatever_moves(kilter, tunes, store, tmp_path):
    kilter("average", f"{store}@main~1", f"{store}@main", "-o", tmp_path / "soup.safetensors", status=0)
    recipe = json.loads(metadata(tmp_path / "soup.safetensors")["kilter.recipe"])
    for one in recipe["inputs"]:
        assert re.fullmatch(re.escape(str(store)) + "@[0-9a-f]{64}", one["address"]), recipe
    kilter("save", tunes / "c", store, "--step", 4, status=0)  # main is another commit now
    assert kilter("reproduce", tmp_path / "soup.safetensors", tmp_path / "again.safetensors", "--json",
                  status=0).json["same"]
    assert_same_bits(load(tmp_path / "again.safetensors"), load(tmp_path / "soup.safetensors"))


def test_a_relative_store_lasts_from_another_folder(kilter, store, tmp_path):
    kilter("ema", "runs.kilter@main", "--decay", "0.5", "-o", "ema.safetensors", cwd=tmp_path, status=0)
    (tmp_path / "elsewhere").mkdir()
    kilter("reproduce", tmp_path / "ema.safetensors", "again.safetensors", cwd=tmp_path / "elsewhere", status=0)


@pytest.mark.parametrize("target", ["soup.safetensors", "soup/", "dcp/"])
def test_a_saved_output_keeps_its_lineage_and_is_made_again(kilter, tunes, store, tmp_path, target):
    extra = ["--to", "dcp"] if target == "dcp/" else []
    kilter("average", tunes / "a", f"{store}@step:3", "-w", "1,3", "-o", tmp_path / target, *extra, status=0)
    kilter("save", tmp_path / target, f"{store}@soups", "--step", 5, status=0)
    lineage = kilter("show", f"{store}@soups", "--json", status=0).json["lineage"]
    assert [one["operation"] for one in lineage] == ["average"]
    assert lineage[0]["parameters"]["weights"] == [1, 3] and len(lineage[0]["parameters"]["content"]) == 2
    assert lineage[0]["inputs"][0] == str(tunes / "a") and lineage[0]["inputs"][1].startswith(f"{store}@")
    assert "average of" in kilter("show", f"{store}@soups", status=0).out
    run = kilter("reproduce", f"{store}@step:5", tmp_path / "again.safetensors", "--json", status=0).json
    assert run["same"] and run["recipe"]["verb"] == "average"


def test_what_the_user_says_wins_and_copies_stay_copies(kilter, tunes, store, tmp_path):
    kilter("cast", tunes / "a", tmp_path / "half", "--dtype", "f16", status=0)
    kilter("save", tmp_path / "half", f"{store}@said", "--derived-from", "elsewhere", "--operation", "quantize",
           status=0)
    lineage = kilter("show", f"{store}@said", "--json", status=0).json["lineage"]
    assert [(one["operation"], one["inputs"]) for one in lineage] == [("quantize", ["elsewhere"])]
    kilter("save", f"{store}@said", tmp_path / "other.kilter", status=0)
    lineage = kilter("show", tmp_path / "other.kilter", "--json", status=0).json["lineage"]
    assert [one["operation"] for one in lineage] == ["copy", "cast"]


def test_checkpoints_without_a_recipe_have_no_lineage(kilter, store):
    assert kilter("show", f"{store}@step:1", "--json", status=0).json["lineage"] == []
