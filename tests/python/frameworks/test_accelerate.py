"""Accelerate's whole state is saved to a store and comes back, the same to the bit."""

import json
import os

import kilter
import pytest
import torch

RUNS = "accelerate_runs"
LONG = pytest.mark.skipif("KILTER_LONG_TESTS" not in os.environ, reason="KILTER_LONG_TESTS=1")
LOADERS = {"random": {}, "seedable": {"seedable": True}, "workers": {"workers": 2}}


@pytest.fixture(scope="module")
def whole(forks, tmp_path_factory):
    """Runs that nobody interrupts, without Kilter, by their kind of data loader."""
    class Whole(dict):
        def __missing__(self, kind):
            folder = tmp_path_factory.mktemp("whole")
            self[kind] = folder, forks("train", folder, store=None, **LOADERS[kind])
            return self[kind]

    return Whole()


def result(folder, name="result"):
    return (torch.load(folder / f"{name}.pt", weights_only=True),
            json.loads((folder / f"{name}.json").read_text()))


def assert_same(folder, expected, name="result"):
    (ours, told), (theirs, expects) = result(folder, name), result(expected)
    assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []
    assert told["losses"] == expects["losses"][len(expects["losses"]) - len(told["losses"]):]
    assert told["seen"] == expects["seen"] == 4 * 28


@pytest.mark.parametrize(
    "kind", ["random", pytest.param("seedable", marks=LONG), pytest.param("workers", marks=LONG)])
def test_a_training_killed_at_any_moment_ends_with_the_same_weights(forks, whole, own_folder, kind):
    expected, seconds = whole[kind]
    forks.until_done("train", own_folder, 2 * seconds, **LOADERS[kind])
    assert_same(own_folder, expected)


def test_resumes_from_every_step(forks, whole, own_folder):
    forks("train", own_folder)
    steps = [info.step for info in kilter.Store("runs.kilter").log("main")]
    assert len(steps) > 12
    for step in (steps[1], steps[6], steps[-1]):
        forks("train", own_folder, store="other.kilter", load=f"runs.kilter@step:{step}",
              name=f"from-{step}")
        assert_same(own_folder, whole["random"][0], f"from-{step}")


def test_what_is_kept_and_how_it_is_named(forks, own_folder):
    forks("train", own_folder, keep=2)
    store = kilter.Store("runs.kilter")
    kept = [info for info in store.log("main") if not info.retired]
    assert len(kept) == 2
    assert set(store.open().state["optimizer"]["state"]) >= {"0.weight", "3.bias"}
    assert store.find("best:loss").step in [info.step for info in kept]


def test_another_model_is_refused_with_every_difference(forks, own_folder):
    forks("train", own_folder, epochs=1)
    started = forks.start("train", own_folder, width=32)
    assert started.status() == 1
    assert "MismatchError" in started.log
    assert "model.0.weight: the step has f32 [16, 8], here is f32 [32, 8]" in started.log


def test_an_object_that_is_no_longer_registered_is_missed(forks, own_folder):
    forks("train", own_folder, epochs=1)
    started = forks.start("train", own_folder, custom=False)
    assert started.status() == 1
    assert "custom_1 (an object of register_for_checkpointing)" in started.log


def test_the_examples_run(forks, own_folder):
    forks("examples", own_folder)


def test_the_guide_s_examples_run(forks, own_folder, guide):
    forks("guide", own_folder, examples=guide("Accelerate"))
