"""Lightning saves to a store and resumes from it, the same to the bit, in the middle of an epoch."""

import json

import kilter
import pytest
import torch

RUNS = "lightning_runs"


@pytest.fixture(scope="module")
def whole(forks, tmp_path_factory):
    """A run that nobody interrupts, without Kilter, by the number of its data loader's workers."""
    found = {}
    for workers in (0, 2):
        folder = tmp_path_factory.mktemp("whole")
        seconds = forks("fit", folder, store=None, workers=workers)
        found[workers] = (folder, seconds)
    return found


def result(folder, name="result"):
    return (torch.load(folder / f"{name}.pt", weights_only=True),
            json.loads((folder / f"{name}.json").read_text()))


def assert_same(folder, expected, name="result"):
    (ours, told), (theirs, expects) = result(folder, name), result(expected)
    assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []
    assert told["step"] == expects["step"]
    count = len(told["losses"])
    assert told["losses"] == expects["losses"][len(expects["losses"]) - count:]


def steps(store="runs.kilter"):
    return [info.step for info in kilter.Store(store).log("main")]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_trainer_killed_at_any_moment_ends_with_the_same_weights(
        forks, whole, own_folder, workers):
    expected, seconds = whole[workers]
    forks.until_done("fit", own_folder, 2 * seconds, workers=workers, every=1)
    assert_same(own_folder, expected)


def test_resumes_from_every_step(forks, whole, own_folder):
    forks("fit", own_folder)
    assert steps() == [16, 14, 12, 10, 8, 6, 4, 2]
    for step in (4, 6, 14):  # behind the end of an epoch, and within one
        forks("fit", own_folder, store="other.kilter", path=f"runs.kilter@step:{step}",
              name=f"from-{step}")
        assert_same(own_folder, whole[0][0], f"from-{step}")


def test_validation_in_the_middle_of_an_epoch_is_done_before_its_step_is_saved(forks, own_folder):
    forks("fit", own_folder, store=None, val_check_interval=2, name="expected")
    forks("fit", own_folder, val_check_interval=2)
    found = kilter.Store("runs.kilter").find("step:2")
    assert found.metadata["val_loss"] > 0
    forks("fit", own_folder, val_check_interval=2, store="other.kilter", path="runs.kilter@step:2",
          name="resumed")
    ours, theirs = result(own_folder, "resumed")[0], result(own_folder, "expected")[0]
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_the_best_step_is_an_address(forks, own_folder):
    forks("fit", own_folder, every=4, monitor="val_loss", best=True)
    best = kilter.Store("runs.kilter").find("best:val_loss")
    weights = kilter.Store("runs.kilter").open(best.digest)
    used = torch.load("best.pt", weights_only=True)
    assert (weights["layers.0.weight"].numpy() == used["layers.0.weight"].numpy()).all()


def test_optimizer_state_has_names(forks, own_folder):
    forks("fit", own_folder, every=8)
    state = kilter.Store("runs.kilter").open("step:8").state
    assert "layers.0.weight" in state["optimizers"]["0"]["state"]


def test_another_model_is_refused(forks, own_folder):
    forks("fit", own_folder, max_epochs=1)
    started = forks.start("fit", own_folder, width=32)
    assert started.status() == 1
    assert "size mismatch for layers.0.weight" in started.log


def test_the_plugin_keeps_checkpoints_in_a_store(forks, own_folder):
    forks("fit", own_folder, plugin=True)
    told = result(own_folder)[1]
    assert "last.ckpt" in told["saved"] and len(told["saved"]) == 3
    pointer = own_folder / "saved" / "last.ckpt"
    assert pointer.stat().st_size < 500
    kept = [info for info in kilter.Store("runs.kilter").log("main") if not info.retired]
    assert len(kept) <= 4 and {info.step for info in kept} <= {12, 15}  # two, last, and the tip
    whole = result(own_folder)[0]
    forks("fit", own_folder, plugin=True, path="last", max_epochs=4, name="again")
    assert result(own_folder, "again")[1]["step"] == 16
    again = result(own_folder, "again")[0]
    assert whole.keys() == again.keys()


def test_the_plugin_killed_at_any_moment_starts_again(forks, own_folder, whole):
    forks.until_done("fit", own_folder, 2 * whole[0][1], kills=2, plugin=True, path="last")
    assert result(own_folder)[1]["step"] >= 16


def test_the_examples_run(forks, own_folder):
    forks("examples", own_folder)


def test_the_guide_s_examples_run(forks, own_folder, guide):
    forks("guide", own_folder, examples=guide("Lightning"))
