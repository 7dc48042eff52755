"""Runs programs as whole processes, in turn, and says what they took.

Wall time and peak RSS come from the operating system's own account of each finished process
(wait4). Nothing here judges: programs compare answers, people read ratios.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = Path(os.environ.get("KILTER_BENCH_DIR", ROOT / "build" / "bench"))
KILTER = os.environ.get("KILTER_PROGRAM", str(ROOT / "build" / "release" / "apps" / "cli" / "kilter"))


class Run:
    """One finished process: wall seconds, peak RSS in bytes, what it printed."""

    def __init__(self, command, env=None):
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
        self.output, errors = process.communicate()
        self.seconds = time.perf_counter() - started
        if process.returncode != 0:
            sys.exit(f"{' '.join(map(str, command))}\nfailed ({process.returncode}): {errors.decode()}")


def measured(command):
    """Like Run, with the peak RSS of the child: a small parent waits for it alone."""
    read_end, write_end = os.pipe()
    started = time.perf_counter()
    child = os.fork()
    if child == 0:
        os.dup2(write_end, 1)
        os.close(read_end)
        try:
            os.execvp(str(command[0]), [str(part) for part in command])
        finally:
            os._exit(127)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as stream:
        output = stream.read()
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - started
    if status != 0:
        sys.exit(f"{command} failed with wait status {status}")
    return {"seconds": seconds, "rss_bytes": usage.ru_maxrss * 1024, "output": output}


def paired(ours, theirs, runs, before=lambda: None):
    """Runs the two in turn; returns both lists. `before` restores the starting state."""
    first, second = [], []
    for _ in range(runs):
        before()
        first.append(ours())
        before()
        second.append(theirs())
    return first, second


def median(values):
    return statistics.median(values)


def ratio(theirs, ours):
    """Median of the pairs' ratios: how many times faster ours is."""
    return statistics.median(t / o for t, o in zip(theirs, ours))


def drop_cache(path):
    """Puts a file out of the page cache, after making it durable."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def warm_cache(path):
    with open(path, "rb", buffering=0) as stream:
        while stream.read(16 << 20):
            pass


def report(work, figure, bar, detail):
    print(f"{work:<58} {figure:>16}   bar {bar:<14} {detail}", flush=True)


def machine_line():
    model = "unknown processor"
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return f"{model}, {os.cpu_count()} processors, Linux {os.uname().release}"


def mib(count_bytes):
    return f"{count_bytes / (1 << 20):.0f} MiB"


def load_json(output):
    return json.loads(output)
