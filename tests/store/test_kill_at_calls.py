"""`kilter save`, `collect` and `compact`, killed at their system calls: the store stays whole.

KILTER_LONG_TESTS=1 kills at every single call, which takes many minutes; else at those that change, sync or
lock something, of the longer commands at every fourth.
"""

import json
import os
import subprocess

import pytest

CANNOT_TRACE = 77


def test_killed_at_its_system_calls_a_command_leaves_the_old_state_or_the_new(kilter, build_folder, tmp_path):
    everything = os.environ.get("KILTER_LONG_TESTS") == "1"
    program = build_folder / "tests" / "kill_at_calls"
    assert program.is_file(), f"{program} is not built: run `make build`"
    run = subprocess.run([program, kilter.path, tmp_path, *(["--all"] if everything else [])], capture_output=True,
                         text=True, stdin=subprocess.DEVNULL, timeout=7200 if everything else 600, check=False)
    if run.returncode == CANNOT_TRACE:
        pytest.skip(f"processes cannot be traced here: {run.stderr}")
    assert run.returncode == 0, run.stderr
    print(run.stdout)
    tried = {row["scenario"]: row for row in json.loads(run.stdout)}
    # A save makes some forty changes, each with a moment before and one behind.
    assert tried["save"]["calls"] >= (300 if everything else 30)
    assert tried["save"]["kills"] >= 2 * (300 if everything else 30)
    assert {"fsync", "rename", "open to create", "flock"} <= set(tried["save"]["kills_by_call"])
    for row in tried.values():
        assert row["kills"] >= row["calls"] * (1.5 if everything or row["scenario"] == "save" else 0.3), row
        assert row["old"] > 0 and row["new"] > 0, row  # kills fell on both sides of the change
        assert row["distinct_states"] >= (20 if row["scenario"] == "save" else 5), row
