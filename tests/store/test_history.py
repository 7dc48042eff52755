"""Many steps in one store: order, numbers, names, conditions."""

import pytest

from checkpoints import files_below, write_series

STEPS = [100, 200, 300, 1000, 2000]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("history") / "run"
    return folder, write_series(folder, STEPS)


@pytest.fixture(scope="module")
def store(kilter, run_folder):
    folder, _ = run_folder
    store = folder.parent / "runs.kilter"
    saved = kilter("save", "--series", f"{folder}/checkpoint-*", store, "--json", status=0).json
    assert saved["branch"] == "main" and saved["store"] == str(store)
    assert [item["metadata"]["step"] for item in saved["saved"]] == STEPS  # by number, not by name
    kilter("tag", f"{store}@step:200", "second", status=0)
    return store


def steps_of(run):
    return [commit["metadata"]["step"] for commit in run.json["commits"]]


def test_a_series_states_what_the_trainer_wrote(kilter, store, run_folder):
    commits = kilter("log", store, "--json", status=0).json["commits"]
    assert [commit["metadata"]["step"] for commit in commits] == STEPS[::-1]
    losses = run_folder[1]
    for commit in commits:
        data = commit["metadata"]
        assert data["loss"] == losses[data["step"]] and data["epoch"] == data["step"] / 100
        assert data["learning_rate"] == 5e-05 / (STEPS.index(data["step"]) + 1) and data["gradient_norm"] == 1.5
        assert set(commit) == {"commit", "parents", "tree", "time", "author", "message", "metadata", "refs", "retired"}
    assert commits[0]["refs"] == ["main"] and commits[3]["refs"] == ["tag second"]
    assert [c["parents"] for c in commits[:-1]] == [[c["commit"]] for c in commits[1:]]


def test_every_step_comes_back(kilter, store, run_folder, tmp_path):
    for step in STEPS:
        kilter("restore", f"{store}@step:{step}", tmp_path / str(step), status=0)
        assert files_below(tmp_path / str(step)) == files_below(run_folder[0] / f"checkpoint-{step}")


@pytest.mark.parametrize("selector, step", [
    ("", 2000), ("main", 2000), ("main~", 1000), ("main~3", 200), ("second", 200), ("second~1", 100),
    ("step:300", 300), ("step:3e2", 300), ("main:step:100", 100), ("step:300~2", 100), ("best:loss", 1000),
    ("best:-loss", 100), ("main:best:loss", 1000), ("best:-step", 2000), ("time:2200-01-01", 2000)])
def test_selectors(kilter, store, selector, step):
    assert kilter("show", f"{store}@{selector}", "--json", status=0).json["metadata"]["step"] == step


@pytest.mark.parametrize("selector, status", [
    ("none", 4), ("step:5", 4), ("step:x", 2), ("best:accuracy", 4), ("main~9", 4), ("second:step:100", 4),
    ("time:1999-01-01", 4), ("time:yesterday", 2), ("time:2999-01-01", 2), ("0123456789ab", 4)])
def test_selectors_that_name_nothing(kilter, store, selector, status):
    run = kilter("show", f"{store}@{selector}", "--json", status=status)
    assert run.json["error"]["message"]


def test_a_digest_and_its_beginning(kilter, store):
    digest = kilter("show", f"{store}@main~1", "--json").json["commit"]
    for text in (digest, digest[:12], digest[:8]):
        assert kilter("show", f"{store}@{text}", "--json", status=0).json["commit"] == digest


@pytest.mark.parametrize("condition, steps", [
    ("loss<2.6", [1000, 300]), ("loss<2.6 and step>300", [1000]), ("step=100 or step==300", [300, 100]),
    ("not (step>=300)", [200, 100]), ("step!=100 and not loss>2.4", [1000]), ("accuracy>0", []),
    ("not accuracy>0", STEPS[::-1]), ("message=''", STEPS[::-1]), ("author~'*'", STEPS[::-1]),
    ("time>2001-01-01", STEPS[::-1]),
    ("time<2001-01-01", []), ("model.kind~'*'", None), ("digest~'zz*'", []),
    ("loss < 2.3 or (step=100 and epoch=1)", [1000, 100])])
def test_conditions(kilter, store, condition, steps):
    found = steps_of(kilter("log", store, "--where", condition, "--json", status=0))
    assert steps is None or found == steps


@pytest.mark.parametrize("condition", ["", "loss", "loss<", "<2", "loss<2 and", "(loss<2", "loss<2)", "loss<2 step>1",
                                       "loss<'2", "not", "loss<<2", "loss=>2", "(" * 200 + "loss<2" + ")" * 200])
def test_conditions_that_cannot_be_read(kilter, store, condition):
    run = kilter("log", store, "--where", condition, "--json", status=2)
    assert run.json["error"]["code"] == "invalid_argument"


def test_plot(kilter, store, run_folder):
    plot = kilter("log", store, "--plot", "loss", "--json", status=0).json
    assert plot["key"] == "loss" and plot["over"] == "step"
    assert plot["points"] == [[step, run_folder[1][step]] for step in STEPS]
    drawn = kilter("log", store, "--plot", "loss", status=0).out
    assert "step" in drawn and len(drawn.splitlines()) > 3
    both = kilter("log", store, "--plot", "loss", "--graph", status=0).out
    assert both.endswith(drawn) and both.startswith(kilter("log", store, "--graph", status=0).out)
    kilter("log", store, "--plot", "accuracy", status=4)


def test_count_keys_and_text(kilter, store):
    assert steps_of(kilter("log", store, "--count", "2", "--json", status=0)) == [2000, 1000]
    assert steps_of(kilter("log", f"{store}@second", "--json", status=0)) == [200, 100]
    text = kilter("log", store, "--keys", "loss,epoch", "--graph", status=0).out
    assert [line.split()[3] for line in text.splitlines()[1:]] == [str(step) for step in STEPS[::-1]]
    assert "(main)" in text and "(tag second)" in text


def test_times_are_utc_wherever_they_are_shown(kilter, store):
    wanted = {commit["commit"][:12]: commit["time"][:16] + "Z"
              for commit in kilter("log", store, "--json", status=0).json["commits"]}
    for zone in ("UTC", "Asia/Tokyo", "America/New_York"):
        lines = kilter("log", store, status=0, env={"TZ": zone}).out.splitlines()[1:]
        assert {line.split()[0]: line.split()[1] for line in lines} == wanted
        assert f"time     {wanted[lines[0].split()[0]]}" in kilter("show", store, status=0, env={"TZ": zone}).out


def test_dry_run_writes_nothing(kilter, run_folder, tmp_path):
    store = tmp_path / "none.kilter"
    plan = kilter("save", "--series", f"{run_folder[0]}/checkpoint-*", store, "--dry-run", "--json", status=0).json
    assert [item["metadata"]["step"] for item in plan["would_save"]] == STEPS and plan["dry_run"]
    assert not store.exists()
