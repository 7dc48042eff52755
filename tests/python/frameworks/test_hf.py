"""The Trainer saves to a store and resumes from it, the same to the bit."""

import json
import time

import kilter
import pytest
import torch

RUNS = "hf_runs"


@pytest.fixture(scope="module")
def whole(forks, tmp_path_factory):
    """Runs that nobody interrupts, without Kilter, by whether they train an adapter."""
    found = {}
    for adapter in (False, True):
        folder = tmp_path_factory.mktemp("whole")
        seconds = forks("train", folder, adapter=adapter, store=None, save_strategy="no")
        found[adapter] = (folder, seconds)
    return found


def weights(folder, name="result"):
    return torch.load(folder / f"{name}.pt", weights_only=True)


def result(folder, name="result"):
    return json.loads((folder / f"{name}.json").read_text())


def assert_same(folder, expected, name="result"):
    ours, theirs = weights(folder, name), weights(expected)
    assert list(ours) == list(theirs)
    assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []
    assert result(folder, name)["logged"][-1] == result(expected)["logged"][-1]


@pytest.mark.parametrize("adapter", [False, True], ids=["model", "adapter"])
def test_a_trainer_killed_at_any_moment_ends_with_the_same_weights(
        forks, whole, own_folder, adapter):
    expected, seconds = whole[adapter]
    forks.until_done("train", own_folder, 2 * seconds, adapter=adapter, kills=4)
    assert_same(own_folder, expected)
    assert result(own_folder)["logged"] == result(expected)["logged"]
    assert result(own_folder)["folders"] == []  # no checkpoint-N


def test_resumes_in_the_middle_of_an_epoch_and_between_two_logs(forks, whole, own_folder):
    expected, _ = whole[False]
    forks("train", own_folder)
    for step in (4, 10):
        forks("train", own_folder, resume=f"runs.kilter@step:{step}", store="other.kilter",
              name=f"from-{step}")
        assert_same(own_folder, expected, f"from-{step}")
        assert result(own_folder, f"from-{step}")["logged"] == result(expected)["logged"]


def test_resume_from_checkpoint_takes_what_people_pass(forks, whole, own_folder):
    for resume in (True, "runs.kilter"):  # there is nothing yet: it begins
        forks("train", own_folder, resume=resume, max_steps=4)
    assert [info.step for info in kilter.Store("runs.kilter").log("main")] == [4, 2]
    forks("train", own_folder, resume=False)  # anew, whatever there is
    assert [info.step for info in kilter.Store("runs.kilter").log("main")][:8] == [
        16, 14, 12, 10, 8, 6, 4, 2]
    assert_same(own_folder, whole[False][0])
    forks("train", own_folder, resume=True, max_steps=18)
    assert result(own_folder)["step"] == 18
    assert [info.step for info in kilter.Store("runs.kilter").log("main")][:2] == [18, 16]


def test_a_step_that_is_not_there_is_an_error(forks, own_folder):
    forks("train", own_folder, max_steps=2)
    started = forks.start("train", own_folder, resume="runs.kilter@step:3")
    assert started.status() == 1
    assert "NotFoundError" in started.log and "step 3" in started.log


def test_another_model_is_refused_with_every_difference(forks, own_folder):
    forks("train", own_folder, max_steps=2)
    started = forks.start("train", own_folder, width=32)
    assert started.status() == 1
    assert "MismatchError" in started.log
    assert "model.transformer.wte.weight: the step has f32 [32, 16], here is f32 [32, 32]" in (
        started.log)


def test_a_damaged_step_is_left_for_the_one_before(forks, whole, own_folder):
    forks("train", own_folder, stop=6)
    before = {path for path in (own_folder / "runs.kilter").rglob("*") if path.is_file()}
    forks("train", own_folder, stop=8)
    for path in (own_folder / "runs.kilter" / "packs").rglob("*"):
        if path.is_file() and path not in before:
            raw = bytearray(path.read_bytes())
            raw[len(raw) // 4] ^= 0x20
            path.write_bytes(raw)
    forks("train", own_folder)
    assert "step 8 (" in (own_folder / "log.txt").read_text()
    assert "is damaged and was left out" in (own_folder / "log.txt").read_text()
    assert_same(own_folder, whole[False][0])


def test_a_restored_step_is_a_model_with_its_tokenizer(forks, own_folder):
    forks("train", own_folder, max_steps=4)
    kilter.Store("runs.kilter").restore("step:4", "restored")
    forks("use_restored", own_folder, place="restored")
    assert all(torch.equal(a, b) for a, b in zip(
        weights(own_folder).values(), torch.load("used.pt", weights_only=True).values()))


def test_of_a_peft_model_the_adapter_alone_is_saved(forks, own_folder):
    forks("train", own_folder, adapter=True, max_steps=4)
    store = kilter.Store("runs.kilter")
    names = list(store.open("step:4/adapter_model.safetensors"))
    assert names and all("lora" in name or "ln_f" in name for name in names)
    store.restore("step:4", "restored")
    assert not (own_folder / "restored" / "model.safetensors").exists()
    forks("use_adapter", own_folder, place="restored")
    used, trained = torch.load("used.pt", weights_only=True), weights(own_folder)
    assert all(torch.equal(used[key], trained[key]) for key in trained)


def test_optimizer_state_has_names(forks, own_folder):
    forks("train", own_folder, max_steps=2)
    state = kilter.Store("runs.kilter").open("step:2").state["optimizer"]["state"]
    assert "transformer.h.0.attn.c_attn.weight" in state


@pytest.mark.parametrize("adapter", [False, True], ids=["model", "adapter"])
def test_folders_are_written_for_a_trainer_without_kilter_and_read(
        forks, whole, own_folder, adapter):
    expected, _ = whole[adapter]
    forks("train", own_folder, adapter=adapter, store="full.kilter")
    forks("move", own_folder, address="full.kilter@step:10", to="out/checkpoint-10",
          store="imported.kilter")
    forks("train", own_folder, adapter=adapter, store=None, resume=True, save_strategy="no",
          name="without")
    ours, theirs = weights(own_folder, "without"), weights(expected)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    forks("train", own_folder, adapter=adapter, store="imported.kilter", name="imported")
    ours = weights(own_folder, "imported")
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert kilter.Store("imported.kilter").find("step:16").parents


def test_a_folder_of_the_trainer_itself_is_resumed(forks, whole, own_folder):
    forks("train", own_folder, store=None, save_steps=6)
    forks("train", own_folder, resume="out/checkpoint-6", save_steps=6)
    assert_same(own_folder, whole[False][0])
    assert [info.step for info in kilter.Store("runs.kilter").log("main")] == [16, 12]


def test_the_best_model_is_kept_and_loaded_at_the_end(forks, own_folder):
    forks("train", own_folder, eval_strategy="steps", eval_steps=2, save_total_limit=1,
          load_best_model_at_end=True, learning_rate=0.3, metric_for_best_model="loss")
    told = result(own_folder)
    kept = [info for info in kilter.Store("runs.kilter").log("main") if not info.retired]
    assert told["best_step"] in [info.step for info in kept]
    assert len(kept) <= 2 and kept[0].step == 16
    best = kilter.Store("runs.kilter").open(f"step:{told['best_step']}")
    assert told["best"].startswith("runs.kilter@")
    trained = weights(own_folder)
    assert torch.equal(torch.from_numpy(best["transformer.wte.weight"].numpy().copy()),
                       trained["transformer.wte.weight"])
    found = kilter.Store("runs.kilter").find("best:eval_loss")
    assert found.step == told["best_step"]


def test_sigterm_saves_the_running_step(forks, whole, own_folder):
    started = forks.start("train", own_folder, preempt=20, slow=0.2, save_steps=100)
    while not (own_folder / "third-step").exists():
        time.sleep(0.02)
    started.kill(15)
    assert started.status() == 0, started.log
    assert kilter.Store("runs.kilter").find("main").step in range(3, 8)
    forks("train", own_folder, save_steps=100)
    assert_same(own_folder, whole[False][0])


def test_the_examples_run(forks, own_folder):
    forks("examples", own_folder)


def test_the_guide_s_examples_run(forks, own_folder, guide):
    forks("guide", own_folder, examples=guide("Hugging Face Trainer"))
