"""What goes wrong around a run: each ends with a clear message, and the last good step stays intact."""

import os
import re
import shutil
import signal
import subprocess
import time

import pytest

EVERY = "5"


@pytest.fixture(scope="module")
def charlm(build_folder):
    return build_folder / "charlm"


@pytest.fixture(scope="module")
def text(repository, tmp_path_factory):
    path = tmp_path_factory.mktemp("charlm") / "text.txt"
    path.write_text("".join(p.read_text() for p in sorted((repository / "spec").glob("*.md"))))
    return path


def train(charlm, text, store, steps, **more):
    return subprocess.run([charlm, text, store, str(steps), EVERY], capture_output=True, text=True, timeout=120,
                          **more)


def newest_step(kilter, store):
    return kilter("show", f"{store}@main", "--json", status=0).json["metadata"]["step"]


def start_saving(charlm, text, store, steps=100_000):
    """A run that has saved its first steps and goes on."""
    run = subprocess.Popen([charlm, text, store, str(steps), EVERY], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True)
    for _ in range(3):
        assert run.stdout.readline().startswith("step ")
    return run


def read_until(run, pattern, seconds=60):
    seen, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        line = run.stdout.readline()
        seen.append(line)
        if re.search(pattern, line):
            return line
        if not line:
            break
    raise AssertionError(f"no {pattern!r} in {''.join(seen)}")


def kill(run):
    run.kill()
    run.stdout.close()
    run.wait()


def in_small_disk(command, mib):
    """Runs a shell command with a file system of its own, of so many MiB, at ./disk."""
    script = f"mkdir disk && mount -t tmpfs -o size={mib}m none disk && {command}"
    return ["unshare", "--mount", "--map-root-user", "sh", "-ec", script]


def can_mount(folder):
    probe = subprocess.run(in_small_disk("true", 1), cwd=folder, capture_output=True, check=False)
    shutil.rmtree(folder / "disk", ignore_errors=True)
    return probe.returncode == 0


def test_a_full_disk_stops_saving_and_leaves_the_last_step(charlm, text, kilter, tmp_path):
    if not can_mount(tmp_path):
        pytest.skip("no mount namespaces here")
    # Five steps of 6 MB are kept; the sixth finds no room.
    run = (f"('{charlm}' '{text}' disk/runs.kilter 60 {EVERY} > out.txt 2>&1 || echo $? > status); "
           "cp -r disk/runs.kilter kept")
    subprocess.run(in_small_disk(run, 27), cwd=tmp_path, check=True, timeout=120)
    said = (tmp_path / "out.txt").read_text()
    assert re.search(r"(not saved|charlm): .*(no space|space left|No space)", said), said
    kilter("check", tmp_path / "kept", "--data", status=0)
    step = newest_step(kilter, tmp_path / "kept")
    assert 5 <= step < 60
    again = train(charlm, text, tmp_path / "kept", step + 5)
    assert f"continues from step {step}" in again.stdout


def test_a_store_that_is_removed_is_told(charlm, text, tmp_path):
    store = tmp_path / "runs.kilter"
    run = start_saving(charlm, text, store)
    shutil.move(store, tmp_path / "moved.kilter")
    line = read_until(run, "not saved")
    kill(run)
    assert "runs.kilter: the store was removed while the run went on" in line
    again = train(charlm, text, tmp_path / "moved.kilter", 20)
    assert "continues from step" in again.stdout


def test_a_store_that_cannot_be_written_is_told(charlm, text, kilter, tmp_path):
    if not can_mount(tmp_path):
        pytest.skip("no mount namespaces here")
    # Read-only for root too: a file system mounted so.
    run = (f"'{charlm}' '{text}' disk/runs.kilter 10 {EVERY} > first.txt && mount -o remount,ro disk && "
           f"('{charlm}' '{text}' disk/runs.kilter 20 {EVERY} > out.txt 2>&1 || echo $? > status); "
           "cp -r disk/runs.kilter kept")
    subprocess.run(in_small_disk(run, 64), cwd=tmp_path, check=True, timeout=120)
    said = (tmp_path / "out.txt").read_text()
    assert "continues from step 10" in said
    assert re.search("not saved: .*[Rr]ead-only", said), said
    assert (tmp_path / "status").read_text().strip() == "1"
    assert newest_step(kilter, tmp_path / "kept") == 10


def test_sigterm_saves_the_step_that_was_reached(charlm, text, kilter, tmp_path):
    store = tmp_path / "runs.kilter"
    run = start_saving(charlm, text, store)
    run.send_signal(signal.SIGTERM)
    line = read_until(run, "preempted")
    run.stdout.close()
    assert run.wait(10) == 143
    step = int(re.search(r"step (\d+) is saved", line).group(1))
    assert newest_step(kilter, store) == step
    assert f"continues from step {step}" in train(charlm, text, store, step + 5).stdout


def test_steps_lost_with_their_store_begin_anew(charlm, text, tmp_path):
    store = tmp_path / "runs.kilter"
    assert train(charlm, text, store, 10).returncode == 0
    shutil.rmtree(store)
    again = train(charlm, text, store, 10)
    assert again.returncode == 0 and "continues" not in again.stdout


def test_a_folder_of_something_else_is_refused(charlm, text, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(os.urandom(100))
    refused = train(charlm, text, tmp_path / "photos", 10)
    assert refused.returncode == 1
    assert "something else than a store" in refused.stderr
