"""kilter.Saver: saves while training goes on, resumes exactly."""

import os
import random
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import kilter
import kilter.torch
from test_torch import assert_same

RUN = Path(__file__).with_name("training_run.py")
TRAINING_STEPS = 72  # what ten kills, each within some steps, do not reach


def network(seed=0, width=8):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(4, width), torch.nn.BatchNorm1d(width),
                               torch.nn.Linear(width, 2))


def train(model, optimizer, steps=1):
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(6, 4)).square().mean().backward()
        optimizer.step()


OPTIMIZERS = {
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-2),
    "amsgrad": lambda p: torch.optim.Adam(p, amsgrad=True),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "plain": lambda p: torch.optim.SGD(p, lr=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, momentum=0.5, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("plain_folder", [False, True], ids=["store", "folder"])
def test_everything_comes_back_bit_for_bit(make, plain_folder):
    model = network(1)
    optimizer = make(model.parameters())
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    train(model, optimizer, 3)
    scheduler.step()
    saver = kilter.Saver("runs", plain_folder=plain_folder)
    saver.save(3, model=model, optimizer=optimizer, scheduler=scheduler, loss=1.5)
    saver.wait()
    other = network(2)
    other_optimizer = make(other.parameters())
    other_scheduler = torch.optim.lr_scheduler.StepLR(other_optimizer, 2)
    step = kilter.Saver("runs", plain_folder=plain_folder).resume(
        model=other, optimizer=other_optimizer, scheduler=other_scheduler)
    assert step == 3
    assert_same(dict(other.state_dict()), dict(model.state_dict()))
    assert_same(other_optimizer.state_dict(), optimizer.state_dict())
    assert_same(other_scheduler.state_dict(), scheduler.state_dict())
    torch.manual_seed(5)
    train(model, optimizer, 2)
    torch.manual_seed(5)
    train(other, other_optimizer, 2)
    assert_same(dict(other.state_dict()), dict(model.state_dict()))


def test_nothing_saved_is_step_0():
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    saver = kilter.Saver("runs.kilter")
    assert saver.resume(model=model) == 0 and saver.resumed.damaged == []
    assert_same(dict(model.state_dict()), before)


def test_random_states_come_back():
    saver = kilter.Saver("runs.kilter")
    saver.save(1, model=network())
    saver.wait()
    want = [random.random(), np.random.rand(), np.random.randn(), torch.rand(2).tolist()]
    np.random.randn()
    kilter.Saver("runs.kilter").resume(model=network())
    assert [random.random(), np.random.rand(), np.random.randn(), torch.rand(2).tolist()] == want
    torch.manual_seed(3)
    without = kilter.Saver("other.kilter", rng=False)
    without.save(1, model=network())
    without.wait()
    torch.manual_seed(4)
    expected = torch.rand(1)
    torch.manual_seed(4)
    without.resume(model=kept(network))
    assert torch.equal(torch.rand(1), expected)


def kept(make):
    """What `make` gives, without its seed."""
    state = torch.get_rng_state()
    made = make()
    torch.set_rng_state(state)
    return made


def test_the_weights_of_a_step_are_a_plain_safetensors_file():
    model = network(1)
    saver = kilter.Saver("runs.kilter")
    optimizer = torch.optim.AdamW(model.parameters())
    train(model, optimizer)
    saver.save(7, model=model, optimizer=optimizer, loss=0.5, note="first")
    saver.wait()
    store = kilter.Store("runs.kilter")
    commit = store.find("best:loss")
    assert (commit.step, commit.metadata["loss"], commit.metadata["note"]) == (7, 0.5, "first")
    store.restore("step:7", "out")
    got = safetensors.torch.load_file("out/model.safetensors")
    assert_same({name: got[name] for name in model.state_dict()}, dict(model.state_dict()))
    for address in ("runs.kilter@step:7/model.safetensors", "runs.kilter@best:loss"):
        other = network(3)
        kilter.torch.load_into(other, address)
        assert_same(dict(other.state_dict()), dict(model.state_dict()))


def test_parameters_are_named_in_the_optimizer_s_state():
    model = network(1)
    optimizer = torch.optim.AdamW(reversed(list(model.parameters())))
    train(model, optimizer)
    saver = kilter.Saver("runs.kilter")
    saver.save(1, model=model, optimizer=optimizer)
    saver.wait()
    names = list(kilter.open("runs.kilter@main"))
    assert any(name.endswith("state.0.weight.exp_avg") for name in names), names
    # An optimizer that counts them the other way round gets each its own.
    other = network(2)
    straight = torch.optim.AdamW(other.parameters())
    kilter.Saver("runs.kilter").resume(model=other, optimizer=straight)
    for mine, its in zip(model.parameters(), other.parameters()):
        assert torch.equal(optimizer.state[mine]["exp_avg"], straight.state[its]["exp_avg"])


def test_what_does_not_fit_is_told_all_at_once_and_changes_nothing():
    model = network(1)
    optimizer = torch.optim.AdamW(model.parameters())
    train(model, optimizer)
    saver = kilter.Saver("runs.kilter")
    saver.save(1, model=model, optimizer=optimizer)
    saver.wait()
    other = network(2, width=9)
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(kilter.MismatchError) as caught:
        saver.resume(model=other, optimizer=torch.optim.AdamW(other.parameters()), ema=network(3))
    error = caught.value
    assert "ema" in error.missing
    assert "model.0.weight: the step has f32 [8, 4], here is f32 [9, 4]" in error.different
    assert any(line.startswith("optimizer.state.0.weight.exp_avg:") for line in error.different)
    assert_same(dict(other.state_dict()), before)
    with pytest.raises(kilter.MismatchError, match="groups"):
        saver.resume(model=network(), optimizer=torch.optim.AdamW(
            [{"params": [p]} for p in network().parameters()]))


def test_state_of_higher_precision_keeps_it():
    model = network(1).bfloat16()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for parameter in model.parameters():
        optimizer.state[parameter]["momentum_buffer"] = torch.randn_like(parameter, dtype=torch.float32)
    saver = kilter.Saver("runs.kilter")
    saver.save(1, model=model, optimizer=optimizer)
    saver.wait()
    other = network(2).bfloat16()
    again = torch.optim.SGD(other.parameters(), lr=0.1, momentum=0.9)
    saver.resume(model=other, optimizer=again)
    for mine, its in zip(model.parameters(), other.parameters()):
        kept_state = again.state[its]["momentum_buffer"]
        assert kept_state.dtype == torch.float32
        assert torch.equal(kept_state, optimizer.state[mine]["momentum_buffer"])


def test_tensors_trees_and_anything_with_state_dict():
    class Counter:
        def __init__(self, value):
            self.value = value

        def state_dict(self):
            return {"value": self.value, "history": [1, 2], "tensor": torch.full((2,), self.value)}

        def load_state_dict(self, state):
            assert state["history"] == [1, 2] and state["tensor"][0] == state["value"]
            self.value = state["value"]

    shadow = {"w": torch.ones(3), "steps": 4}
    saver = kilter.Saver("runs.kilter")
    saver.save(2, counter=Counter(5), shadow=shadow, array=np.arange(3.0), best=0.25)
    saver.wait()
    counter, other, array = Counter(0), {"w": torch.zeros(3), "steps": 0}, np.zeros(3)
    place = other["w"].data_ptr()
    assert saver.resume(counter=counter, shadow=other, array=array) == 2
    assert counter.value == 5 and other["steps"] == 4
    assert other["w"].data_ptr() == place and other["w"].tolist() == [1, 1, 1]
    assert array.tolist() == [0, 1, 2]
    assert saver.resumed.metadata["best"] == 0.25
    with pytest.raises(kilter.ArgumentError, match="Resumable"):
        saver.save(3, data=torch.utils.data.DataLoader([1, 2]))
    with pytest.raises(kilter.ArgumentError, match="key of the step"):
        saver.save(3, rng=3)


def test_a_step_is_what_it_was_when_it_was_saved():
    """Updates follow at once; the hook copies what is not yet written."""
    model = torch.nn.Linear(1000, 1000)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    saver = kilter.Saver("runs.kilter")
    saver.attach(optimizer)
    want = {}
    for step in range(1, 5):
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        want[step] = model.weight.detach().clone()
        saver.save(step, model=model, optimizer=optimizer)
    optimizer.step()
    saver.wait()
    for step, value in want.items():
        got = kilter.open(f"runs.kilter@step:{step}/model.safetensors")["weight"].torch()
        assert torch.equal(got, value)
    saver.detach()
    optimizer.step()


def test_without_a_hook_save_copies():
    model = torch.nn.Linear(500, 500)
    saver = kilter.Saver("runs.kilter")
    want = model.weight.detach().clone()
    saver.save(1, model=model)
    with torch.no_grad():
        model.weight.zero_()
    saver.wait()
    assert torch.equal(kilter.open("runs.kilter@main/model.safetensors")["weight"].torch(), want)


def test_old_steps_go():
    model = network()
    saver = kilter.Saver("runs.kilter", keep=kilter.Keep(last=2, every=4, best="loss"))
    for step in range(1, 8):
        saver.save(step, model=model, loss=0.0 if step == 3 else 10.0 - step)
    saver.wait()
    kept_steps = sorted(c.step for c in kilter.Store("runs.kilter").log() if not c.retired)
    assert kept_steps == [3, 4, 6, 7]


def damage_newest(address):
    store = kilter.Store(address)
    newest = store.find("main").digest
    pack = max(Path(address).rglob("*.pack"), key=lambda p: p.stat().st_mtime_ns, default=None)
    if pack is None:
        files = [p for p in Path(address).rglob("*") if p.is_file() and p.stat().st_size > 3000]
        pack = max(files, key=lambda p: p.stat().st_mtime_ns)
    pack.chmod(0o644)
    data = bytearray(pack.read_bytes())
    for at in range(0, len(data), 512):
        data[at] ^= 0x55
    pack.write_bytes(data)
    return newest


def test_a_damaged_step_is_left_for_the_one_before_and_told():
    model = torch.nn.Linear(100, 100)
    saver = kilter.Saver("runs.kilter")
    saver.save(1, model=model).wait()
    first = model.weight.detach().clone()
    with torch.no_grad():
        model.weight.add_(torch.randn(100, 100))
    saver.save(2, model=model).wait()
    newest = damage_newest("runs.kilter")
    other = torch.nn.Linear(100, 100)
    again = kilter.Saver("runs.kilter")
    with pytest.warns(kilter.DamagedStepWarning, match="step 2"):
        assert again.resume(model=other) == 1
    assert torch.equal(other.weight, first)
    assert [(step, commit) for step, commit, _ in again.resumed.damaged] == [(2, newest)]
    assert isinstance(again.resumed.damaged[0][2], kilter.KilterError)


def test_an_error_in_the_background_reaches_ticket_and_next_call():
    saver = kilter.Saver("runs.kilter")
    saver.save(1, model=network()).wait()
    import shutil
    shutil.rmtree("runs.kilter")
    Path("runs.kilter").write_text("in the way")
    ticket = saver.save(2, model=network())
    with pytest.raises(kilter.KilterError):
        ticket.wait()
    with pytest.raises(kilter.KilterError):
        saver.save(3, model=network())


def test_what_runs_at_the_end_of_the_program_is_finished(environment):
    program = ("import kilter, torch\n"
               "saver = kilter.Saver('runs.kilter')\n"
               "saver.save(5, model=torch.nn.Linear(1000, 1000))\n")
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=120)
    assert kilter.Store("runs.kilter").find("main").step == 5


def test_sigterm_saves_once_more(environment):
    program = """
import os, signal, kilter, torch
kilter.Saver.watch_preemption()
saver, model = kilter.Saver('runs.kilter'), torch.nn.Linear(10, 10)
saver.save(1, model=model).wait()
os.kill(os.getpid(), signal.SIGTERM)
assert saver.preempted
print(saver.on_preempt(2, 5.0, model=model).step)
"""
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True,
                         text=True, timeout=120, check=True)
    assert run.stdout == "2\n"
    assert kilter.Store("runs.kilter").find("main").step == 2


def test_a_loader_goes_on_in_the_middle_of_an_epoch():
    def batches(workers, stop=None, state=None):
        torch.manual_seed(3)
        loader = kilter.torch.Resumable(torch.utils.data.DataLoader(
            list(range(20)), batch_size=3, shuffle=True, num_workers=workers))
        if state is not None:
            loader.load_state_dict(state)
            torch.manual_seed(99)  # another random state now: the order is the old one
        seen = []
        for _ in range(2):
            for batch in loader:
                seen.append(batch.tolist())
                if stop == len(seen):
                    return seen, loader.state_dict(), torch.get_rng_state()
        return seen, None, None

    for workers in (0, 2):
        whole, _, _ = batches(workers)
        first, state, _ = batches(workers, stop=4)
        rest, _, _ = batches(workers, state=state)
        assert first + rest[:3] == whole[:7]


def run_training(environment, store, out, workers, pause, kills):
    """Runs until it ends by itself; each of `kills` ends it so many seconds after a step."""
    arguments = [store, out, workers, pause, TRAINING_STEPS, *kills]
    subprocess.run([sys.executable, RUN, *map(str, arguments)], env=environment, check=True, timeout=300,
                   start_new_session=True)
    return kilter.torch.load(out)


def test_a_run_killed_at_ten_random_moments_ends_as_if_nothing_had_happened(environment):
    chance = random.Random(os.urandom(8))
    kills = [chance.uniform(0.0, 0.2) for _ in range(10)]
    want = run_training(environment, "whole.kilter", "whole.pt", 2, 0, [])
    got = run_training(environment, "killed.kilter", "killed.pt", 2, 0.04, kills)
    assert got["numbers"] == want["numbers"], kills
    assert_same(got, want)


def test_forked_children_leave_the_saver_alone():
    saver = kilter.Saver("runs.kilter")
    saver.save(1, model=network()).wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    saver.save(2, model=network()).wait()
