"""Progress, and Ctrl-C, which ends long work at once and leaves nothing half done."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import kilter


@pytest.fixture
def large():
    kilter.save({str(i): np.full(8 << 20, i, np.uint8) for i in range(16)}, "large.safetensors")
    return "large.safetensors"


def test_progress_is_told_in_bytes(large):
    seen = []
    kilter.convert(large, "b.npz", progress=lambda verb, done, total: seen.append((verb, done, total)))
    assert seen and seen[-1][0] == "convert"
    dones = [done for _, done, _ in seen]
    assert dones == sorted(dones) and seen[-1][1] <= seen[-1][2]


def test_progress_runs_on_the_caller_s_thread(large):
    threads = set()
    kilter.convert(large, "b.npz", progress=lambda *_: threads.add(threading.get_ident()))
    assert threads == {threading.get_ident()}


def test_what_progress_raises_cancels_and_comes_out(large):
    class Enough(Exception):
        pass

    def stop(*_):
        raise Enough

    with pytest.raises(Enough):
        kilter.convert(large, "b.npz", progress=stop)
    kilter.Store("s.kilter")
    with pytest.raises(Enough):
        kilter.Store("s.kilter").save(large, progress=stop)


PROGRAM = """
import os, signal, sys, threading, kilter
# Whoever started the tests in the background has made them ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
def interrupt(verb, done, total):
    if not interrupt.sent:
        interrupt.sent = True
        os.kill(os.getpid(), signal.SIGINT)
interrupt.sent = False
try:
    kilter.convert("large.safetensors", "out.npz", progress=interrupt)
    print("went through")
except KeyboardInterrupt:
    print("interrupted")
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""


def test_ctrl_c_ends_it_and_leaves_no_output(large, environment):
    run = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True,
                         text=True, timeout=60, check=False)
    assert run.returncode == 0, run
    assert run.stdout in ("interrupted\n", "went through\n"), run
    left = [name for name in os.listdir(".") if name not in ("large.safetensors", "cache")]
    assert left in ([], ["out.npz"])


def test_work_in_threads_needs_no_main_thread(large):
    done = []
    thread = threading.Thread(target=lambda: done.append(len(kilter.load(large))))
    thread.start()
    thread.join()
    assert done == [16]
