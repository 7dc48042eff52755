"""Runs programs as whole processes, in turn, and says what they took.

Wall time and peak RSS come from the operating system's own account of each finished process
(measure.cc). Nothing here judges: programs compare answers, people read ratios.
"""

import json
import mmap
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = Path(os.environ.get("KILTER_BENCH_DIR", ROOT / "build" / "bench"))
MEASURE = os.environ.get("KILTER_MEASURE", str(ROOT / "build" / "release" / "bench" / "measure"))
KILTER = os.environ.get("KILTER_PROGRAM", str(ROOT / "build" / "release" / "apps" / "cli" / "kilter"))


def measured(command):
    """Runs a command through `measure`; {"seconds", "rss_bytes", "cpu_seconds", "output"}."""
    with tempfile.NamedTemporaryFile("r", suffix=".json") as account:
        done = subprocess.run([MEASURE, account.name, *map(str, command)], stdout=subprocess.PIPE, check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(map(str, command))}\nfailed with status {done.returncode}")
        return json.load(account) | {"output": done.stdout}


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


def disk_write_seconds(path, count_bytes, threads=2, block_bytes=8 << 20):
    """What the disk itself takes for so many bytes: direct writes from several threads, then fsync.

    Nobody can be durable sooner who writes all bytes.
    """
    blocks = range(0, count_bytes, block_bytes)
    buffer = mmap.mmap(-1, block_bytes)
    buffer.write(os.urandom(block_bytes))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_DIRECT, 0o644)
    begun = time.perf_counter()
    os.posix_fallocate(descriptor, 0, len(blocks) * block_bytes)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda at: os.pwrite(descriptor, buffer, at), blocks))
    os.fsync(descriptor)
    seconds = time.perf_counter() - begun
    os.close(descriptor)
    os.unlink(path)
    return seconds


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
