"""examples/charlm: killed at any moment, it ends with the very weights of a run that was left alone."""

import random
import signal
import subprocess
import time

import pytest

STEPS, EVERY = "120", "5"


@pytest.fixture(scope="module")
def charlm(build_folder):
    path = build_folder / "charlm"
    assert path.is_file(), f"{path} is not built: run `make build`"
    return path


@pytest.fixture(scope="module")
def text(repository, tmp_path_factory):
    path = tmp_path_factory.mktemp("charlm") / "text.txt"
    path.write_text("".join(p.read_text() for p in sorted((repository / "spec").glob("*.md"))))
    return path


@pytest.fixture(scope="module")
def uninterrupted(charlm, text, tmp_path_factory):
    store = tmp_path_factory.mktemp("whole") / "runs.kilter"
    subprocess.run([charlm, text, store, STEPS, EVERY], check=True, stdout=subprocess.DEVNULL)
    return store


def test_killed_ten_times_the_weights_are_the_same(charlm, text, uninterrupted, kilter, tmp_path):
    store, chance, kills = tmp_path / "runs.kilter", random.Random(5), 0
    begun = time.monotonic()
    for _ in range(10):
        run = subprocess.Popen([charlm, text, store, STEPS, EVERY], stdout=subprocess.PIPE, text=True)
        for _ in range(chance.randint(1, 3)):
            run.stdout.readline()  # at least one more step is on its way: every turn gets further
        time.sleep(chance.uniform(0, 0.03))
        run.send_signal(signal.SIGKILL)
        run.stdout.close()
        kills += run.wait() == -signal.SIGKILL
    assert kills >= 5, f"only {kills} of 10 were killed in {time.monotonic() - begun:.1f} s"
    subprocess.run([charlm, text, store, STEPS, EVERY], check=True, stdout=subprocess.DEVNULL)
    kilter("restore", f"{uninterrupted}@main", tmp_path / "a", status=0)
    kilter("restore", f"{store}@main", tmp_path / "b", status=0)
    for name in ("model.safetensors", "optimizer.safetensors", "training.state.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    kilter("check", store, "--data", status=0)


def test_a_damaged_newest_step_is_left_for_the_one_before(charlm, text, uninterrupted, kilter, tmp_path):
    store = tmp_path / "runs.kilter"
    subprocess.run([charlm, text, store, "40", "10"], check=True, stdout=subprocess.DEVNULL)
    newest = max((p for p in (store / "packs").rglob("*.pack") if p.stat().st_size > 1_000_000),
                 key=lambda p: p.stat().st_mtime_ns)
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.chmod(0o644)
    newest.write_bytes(data)
    again = subprocess.run([charlm, text, store, "50", "10"], check=True, capture_output=True, text=True)
    assert "step 40 is damaged" in again.stdout
    assert "continues from step 30" in again.stdout
