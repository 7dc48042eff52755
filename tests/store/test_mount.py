"""`kilter mount`: a store read through the kernel, as any program would."""

import ctypes
import errno
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "cli"))
from samples import safetensors  # noqa: E402


def why_not():
    """Why nothing can be mounted here; empty if it can."""
    try:
        ctypes.CDLL("libfuse3.so.3")
    except OSError:
        return "libfuse3.so.3 is not installed (Debian package fuse3)"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return f"/dev/fuse cannot be opened: {error}"
    return ""


pytestmark = pytest.mark.skipif(bool(why_not()), reason=f"MOUNT NOT TESTED: {why_not()}")


def model(seed, count):
    data = random.Random(seed).randbytes(count)
    return safetensors({"a.weight": ("BF16", [count // 2], count)}, data)


def write_source(folder, step):
    files = {"config.json": b'{"step": %d}' % step,
             "weights/model.safetensors": model(step, 9 << 20),
             "weights/small.safetensors": model(100 + step, 70_000),
             "empty.txt": b""}
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return files


@pytest.fixture
def store(kilter, tmp_path):
    """A store of two steps, and what each holds."""
    path, steps = tmp_path / "runs.kilter", {}
    for step in (1, 2):
        steps[step] = write_source(tmp_path / "source", step)
        kilter("save", tmp_path / "source", path, "--meta", f"step={step}", status=0)
    kilter("tag", path, "v1", status=0)
    return path, steps


@pytest.fixture
def mount(kilter, store, tmp_path):
    folder = tmp_path / "mounted"
    folder.mkdir()
    run = kilter("mount", store[0], folder)
    if run.status != 0:
        pytest.skip(f"MOUNT NOT TESTED: the system refused it: {run.err}")
    yield folder
    if os.path.ismount(folder):
        kilter("mount", "--unmount", folder, status=0)


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*") if path.is_file()}


def eventually(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    assert condition()


def test_every_name_leads_to_the_bytes_that_were_saved(mount, store):
    steps = store[1]
    assert sorted(os.listdir(mount)) == ["branches", "commits", "steps", "tags"]
    assert content(mount / "branches" / "main") == steps[2]
    assert content(mount / "tags" / "v1") == steps[2]
    assert sorted(os.listdir(mount / "steps")) == ["00000001", "00000002"]
    for step in (1, 2):
        assert content(mount / "steps" / f"{step:08}") == steps[step]
    assert len(os.listdir(mount / "commits")) == 2
    for commit in (mount / "commits").iterdir():
        assert content(commit) in steps.values()


def test_many_readers_at_once(mount, store):
    wanted = store[1][1]["weights/model.safetensors"]
    path = mount / "steps" / "00000001" / "weights" / "model.safetensors"

    def read_ranges(seed):
        numbers = random.Random(seed)
        with open(path, "rb", buffering=0) as file:
            for _ in range(40):
                begin = numbers.randrange(len(wanted))
                size = numbers.randrange(1, 300_000)
                file.seek(begin)
                got = file.read(size)
                assert got == wanted[begin:begin + len(got)] and got
        return path.read_bytes() == wanted

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read_ranges, range(8)))


def test_a_new_commit_appears_and_open_files_stay(kilter, mount, store, tmp_path):
    path = mount / "branches" / "main" / "config.json"
    with open(path, "rb") as old:
        write_source(tmp_path / "source", 3)
        kilter("save", tmp_path / "source", store[0], "--meta", "step=3", status=0)
        eventually(lambda: path.read_bytes() == b'{"step": 3}')
        assert old.read() == b'{"step": 2}'
    eventually(lambda: "00000003" in os.listdir(mount / "steps"))


def test_nothing_can_be_changed(mount):
    for change in (lambda: (mount / "x").write_bytes(b""),
                   lambda: (mount / "branches" / "main" / "config.json").write_bytes(b""),
                   lambda: (mount / "branches" / "main" / "config.json").unlink()):
        with pytest.raises(OSError) as caught:
            change()
        assert caught.value.errno in (errno.EROFS, errno.EACCES, errno.EPERM)
    assert os.stat(mount / "branches" / "main" / "config.json").st_mode & 0o222 == 0


def test_a_damaged_pack_is_an_io_error_and_is_told(kilter, store, tmp_path):
    folder = tmp_path / "damaged"
    folder.mkdir()
    for pack in (store[0] / "packs").rglob("*.pack"):
        data = bytearray(pack.read_bytes())
        for at in range(1 << 20, len(data) - (1 << 20), 1 << 20):
            data[at] ^= 1
        pack.write_bytes(data)
    process = subprocess.Popen([kilter.path, "mount", "-f", store[0], folder],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert "is mounted" in process.stdout.readline()
        with pytest.raises(OSError) as caught:
            (folder / "steps" / "00000001" / "weights" / "model.safetensors").read_bytes()
        assert caught.value.errno == errno.EIO
        assert (folder / "steps" / "00000001" / "config.json").exists()
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert 'weights/model.safetensors: tensor "a.weight": the chunk' in err and ".pack" in err
    assert not os.path.ismount(folder)


def test_unmounting_by_the_system_ends_the_process(kilter, store, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    process = subprocess.Popen([kilter.path, "mount", "--foreground", store[0], folder],
                               stdout=subprocess.PIPE, text=True)
    assert "is mounted" in process.stdout.readline()
    kilter("mount", "-u", folder, status=0)
    assert process.wait(timeout=20) == 0
    process.stdout.close()


def test_wrong_usage(kilter, store, tmp_path):
    assert kilter("mount", store[0]).status == 2
    assert kilter("mount", store[0], tmp_path / "missing").status == 4
    assert kilter("mount", tmp_path, tmp_path).status == 4
    assert kilter("mount", f"{store[0]}@main", tmp_path).status == 2
    assert kilter("mount", "-u", tmp_path).status == 2
