"""Writers beside each other, writers that die, and bytes that change: nothing wrong ever comes out."""

import os
import random
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from checkpoints import files_below, safetensors


def write_checkpoint(folder, number, size):
    folder.mkdir(parents=True)
    weights = np.random.default_rng(number).normal(0, 1, size)
    (folder / "model.safetensors").write_bytes(safetensors({"w": weights}))
    (folder / "number.txt").write_text(str(number))
    return folder


def start(kilter, *arguments):
    return subprocess.Popen([str(kilter.path), *map(str, arguments)], stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)


def test_two_savers_on_one_branch_lose_nothing(kilter, tmp_path):
    store, count = tmp_path / "s.kilter", 6
    sources = [write_checkpoint(tmp_path / f"checkpoint-{i}", i, 3000) for i in range(1, 2 * count + 1)]
    kilter("save", sources[0], store, status=0)
    for one, other in zip(sources[1::2], sources[2::2]):
        writers = [start(kilter, "save", source, store) for source in (one, other)]
        for writer in writers:
            assert writer.wait(60) == 0, writer.stderr.read()
    commits = kilter("log", f"{store}@main", "--json", status=0).json["commits"]
    assert {c["metadata"]["step"] for c in commits} == set(range(1, 2 * count))
    by_name = {c["commit"]: c for c in commits}
    line, at = 0, kilter("show", f"{store}@main", "--json").json["commit"]
    while at in by_name:
        line, at = line + 1, (by_name[at]["parents"] or [None])[0]
    assert line == len(commits)  # one line of descent through all of them
    for i in (1, count, 2 * count - 1):
        kilter("restore", f"{store}@step:{i}", tmp_path / f"out-{i}", status=0)
        assert files_below(tmp_path / f"out-{i}") == files_below(sources[i - 1])
    kilter("check", store, "--data", status=0)
    assert list((store / "sessions").iterdir()) == []


def test_two_savers_make_one_store(kilter, tmp_path):
    for turn in range(5):
        store = tmp_path / f"{turn}.kilter"
        sources = [write_checkpoint(tmp_path / f"{turn}-{i}" / "x", i, 10) for i in (1, 2)]
        writers = [start(kilter, "save", source, store) for source in sources]
        assert [writer.wait(60) for writer in writers] == [0, 0]


def test_savers_killed_at_any_moment_leave_the_store_sound(kilter, tmp_path):
    store = tmp_path / "s.kilter"
    first = write_checkpoint(tmp_path / "checkpoint-1", 1, 5000)
    kilter("save", first, store, status=0)
    chance, survivors, longest = random.Random(7), 0, 0.15
    for turn in range(30):
        before = kilter("show", f"{store}@main", "--json", status=0).json
        source = write_checkpoint(tmp_path / f"checkpoint-{turn + 2}", turn + 2, 300_000)
        begun = time.monotonic()
        writer = start(kilter, "save", source, store)
        time.sleep(chance.uniform(0, longest))
        if writer.poll() is None:
            os.kill(writer.pid, signal.SIGKILL)
        status = writer.wait(60)
        # Half of the moments lie inside a save, however fast the machine is.
        longest = 0.9 * longest + 0.1 * 2 * (time.monotonic() - begun) if status == 0 else min(longest * 1.15, 2)
        after = kilter("show", f"{store}@main", "--json", status=0).json
        if after["commit"] == before["commit"]:
            assert status != 0
        else:
            survivors += 1
            assert after["parents"] == [before["commit"]] and after["metadata"]["step"] == turn + 2
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        kilter("restore", f"{store}@main", tmp_path / "out", status=0)
        step = after["metadata"]["step"]
        assert files_below(tmp_path / "out") == files_below(tmp_path / f"checkpoint-{step}")
        if step != turn + 2:
            shutil.rmtree(source)
    assert 0 < survivors < 30, "every kill came too early or too late"
    kilter("restore", f"{store}@step:1", tmp_path / "old", status=0)
    assert files_below(tmp_path / "old") == files_below(first)
    kilter("check", store, "--data", status=0)
    kilter("collect", store, status=0)
    kilter("check", store, "--data", status=0)
    assert list((store / "sessions").iterdir()) == []


def test_one_changed_bit_never_gives_wrong_bytes(kilter, tmp_path):
    """Every byte of every file of a store, one bit each; what comes out is right or is refused."""
    source = tmp_path / "x.bin"
    source.write_bytes(bytes(range(48)))
    store, out = tmp_path / "s.kilter", tmp_path / "out"
    kilter("save", source, store, "--author", "a", status=0)
    shutil.rmtree(store / "sessions")
    right, statuses = source.read_bytes(), set()
    chance = random.Random(3)
    places = [(path, at) for path in sorted(store.rglob("*")) if path.is_file() for at in range(path.stat().st_size)]
    # A third of them in one run, by chance but always the same; all with KILTER_ALL_BITS.
    if not os.environ.get("KILTER_ALL_BITS"):
        places = [place for place in places if chance.random() < 1 / 3]
    environment, command = {**os.environ}, [str(kilter.path), "cat", f"{store}@main"]
    for path, at in places:
        sound = path.read_bytes()
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 1 << chance.randrange(8)]) + sound[at + 1:])
        run = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, env=environment, timeout=60,
                             check=False)
        assert run.stdout == right if run.returncode == 0 else run.stdout == b"", (path, at)
        assert run.returncode == 0 or run.stderr.startswith(b"kilter: "), (path, at, run)
        statuses.add(run.returncode)
        path.write_bytes(sound)
    assert statuses <= {0, 3, 4, 5} and {0, 3} <= statuses
    kilter("restore", f"{store}@main", out, status=0)
    assert out.read_bytes() == right
