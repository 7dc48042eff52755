"""Stores in a bucket, through the program, against a real server: straight and through faults.

Skipped where the server is not there, as test_s3.py says.
"""

import os
import random
import struct
import subprocess

import pytest

from fault_proxy import FaultProxy, xml_error
from test_s3 import environment, first, running_server


@pytest.fixture(scope="module")
def server(repository, tmp_path_factory):
    with running_server(repository, tmp_path_factory.mktemp("s3-store")) as port:
        yield port


@pytest.fixture
def store(request):
    """A store of its own for each test."""
    return f"s3://bucket/{request.node.name.replace('[', '-').rstrip(']')}.kilter"


@pytest.fixture
def kilter_at(kilter, tmp_path):
    """Runs the program with the server behind a port, and a cache of the test's own."""

    def run(port, *arguments, status=0, **more):
        settings = environment(port, KILTER_CACHE=str(tmp_path / "cache"), **more)
        return kilter(*arguments, status=status, env=settings, cwd=tmp_path, timeout=300)

    return run


@pytest.fixture
def checkpoints(tmp_path):
    """Three steps of one run: a tensor of 3 MB of which a part changes."""
    base = bytearray(random.Random(7).randbytes(3_000_000))
    paths = []
    for step in (1, 2, 3):
        base[step * 1000:step * 1000 + 400_000] = random.Random(step).randbytes(400_000)
        head = (b'{"__metadata__":{"step":"%d"},"w":{"dtype":"F32","shape":[750000],'
                b'"data_offsets":[0,3000000]}}' % step)
        path = tmp_path / f"step-{step}.safetensors"
        path.write_bytes(struct.pack("<Q", len(head)) + head + bytes(base))
        paths.append(path)
    return paths


def save_all(kilter_at, port, checkpoints, store):
    return kilter_at(port, "save", "--series", *checkpoints, store, "--json").json["saved"]


def test_a_series_is_saved_listed_and_restored(kilter_at, server, checkpoints, store, tmp_path):
    assert len(save_all(kilter_at, server, checkpoints, store)) == 3
    log = kilter_at(server, "log", store).out
    assert [line.split()[2] for line in log.splitlines()[1:]] == ["3", "2", "1"]
    for back, path in enumerate(reversed(checkpoints)):
        kilter_at(server, "restore", f"{store}@main~{back}", tmp_path / f"out{back}")
        assert (tmp_path / f"out{back}").read_bytes() == path.read_bytes()
    name = f"{store}@main~1"
    assert "step" in kilter_at(server, "show", name).out
    assert checkpoints[1].name in kilter_at(server, "ls", name).out
    assert "750" in kilter_at(server, "inspect", name).out
    assert "sound" in kilter_at(server, "verify", name).out
    kilter_at(server, "convert", name, tmp_path / "w.npz")
    kilter_at(server, "diff", f"{store}@main~2", name, status=1)  # they differ
    assert "commits   3" in kilter_at(server, "stats", store).out
    kilter_at(server, "tag", name, "v1")
    assert "v1" in kilter_at(server, "log", store).out
    assert "sound" in kilter_at(server, "check", store, "--data").out


def test_the_cache_spares_requests(kilter_at, server, checkpoints, store, tmp_path):
    save_all(kilter_at, server, checkpoints[:1], store)
    with FaultProxy(server) as proxy:
        kilter_at(proxy.port, "restore", f"{store}@main", tmp_path / "a")
        cold = sum(request.method == "GET" for request in proxy.requests)
        proxy.break_with(first(0))
        kilter_at(proxy.port, "restore", f"{store}@main", tmp_path / "b")
        warm = sum(request.method == "GET" and "/packs/" in request.path
                   for request in proxy.requests)
    assert cold > 3 and warm == 0
    assert (tmp_path / "b").read_bytes() == checkpoints[0].read_bytes()
    assert any((tmp_path / "cache").rglob("*-*"))


def test_push_pull_and_clone_between_folder_and_bucket(kilter_at, server, checkpoints, store,
                                                       tmp_path):
    kilter_at(server, "save", checkpoints[0], tmp_path / "local.kilter")
    kilter_at(server, "push", tmp_path / "local.kilter", store)
    kilter_at(server, "save", checkpoints[1], store)
    kilter_at(server, "pull", tmp_path / "local.kilter", store)
    kilter_at(server, "clone", store, tmp_path / "copy.kilter")
    kilter_at(server, "clone", store, store, status=2)
    for name in (store, tmp_path / "local.kilter", tmp_path / "copy.kilter"):
        kilter_at(server, "restore", f"{name}@main", tmp_path / "out", "--force")
        assert (tmp_path / "out").read_bytes() == checkpoints[1].read_bytes()
        assert "sound" in kilter_at(server, "check", name, "--data").out


def test_two_savers_lose_nothing(kilter, kilter_at, server, checkpoints, store, tmp_path):
    settings = {**os.environ, **environment(server, KILTER_CACHE=str(tmp_path / "cache"))}
    running = [
        subprocess.Popen([str(kilter.path), "save", str(path), store], env=settings,
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for path in checkpoints]
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert len(kilter_at(server, "log", store).out.splitlines()) == 4
    assert "sound" in kilter_at(server, "check", store, "--data").out


def test_index_files_are_merged_under_the_lock(kilter_at, server, store, tmp_path):
    for step in range(10):
        (tmp_path / "step.txt").write_text(f"step {step}")
        kilter_at(server, "save", tmp_path / "step.txt", store, "--step", step)
    with FaultProxy(server) as proxy:
        log = kilter_at(proxy.port, "log", store, KILTER_CACHE_BYTES="0").out
        indexes = sum(request.method == "GET" and "/index/" in request.path
                      for request in proxy.requests)
    assert len(log.splitlines()) == 11 and 1 <= indexes < 8
    assert "sound" in kilter_at(server, "check", store, "--data").out


def every(n, *what):
    """Each n-th request breaks; the one after it passes, so trying again helps."""
    return lambda request: what if request.number % n == n - 1 else ("pass",)


@pytest.mark.parametrize("fault", [
    ("cut-before",), ("cut-after",), ("truncate",), ("answer", xml_error(503, "SlowDown")),
    ("flip-request",),
], ids=lambda fault: fault[0])
def test_faults_on_the_way_are_survived(kilter_at, server, checkpoints, store, tmp_path, fault):
    kilter_at(server, "save", "--series", *checkpoints, tmp_path / "local.kilter")
    with FaultProxy(server) as proxy:
        proxy.break_with(every(4, *fault))
        kilter_at(proxy.port, "push", tmp_path / "local.kilter", store)
        proxy.break_with(every(4, *fault))
        kilter_at(proxy.port, "restore", f"{store}@main~1", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == checkpoints[1].read_bytes()
    assert "sound" in kilter_at(server, "check", store, "--data").out


def test_bytes_changed_on_the_way_are_never_restored(kilter_at, server, checkpoints, store,
                                                     tmp_path):
    save_all(kilter_at, server, checkpoints[:1], store)
    with FaultProxy(server) as proxy:
        proxy.break_with(
            lambda request: ("flip-answer",) if "/packs/" in request.path else ("pass",))
        failed = kilter_at(proxy.port, "restore", f"{store}@main", tmp_path / "out", status=None)
        assert failed.status != 0 and not (tmp_path / "out").exists()
    # What was damaged on the way must not stay in the cache.
    kilter_at(server, "restore", f"{store}@main", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == checkpoints[0].read_bytes()


def test_collect_frees_what_no_reference_reaches(kilter_at, server, checkpoints, store):
    kilter_at(server, "save", checkpoints[0], store)
    kilter_at(server, "save", checkpoints[1], f"{store}@other")
    kilter_at(server, "branch", store, "other", "--delete")
    freed = kilter_at(server, "collect", store, "--json").json
    assert freed["removed_packs"] == 1 and freed["writers"] == []
    kilter_at(server, "compact", store)
    assert "sound" in kilter_at(server, "check", store, "--data").out


def test_stores_that_are_not_there_are_explained(kilter_at, server):
    assert "no store" in kilter_at(server, "log", "s3://bucket/nothing", status=4).err
    assert "NoSuchBucket" in kilter_at(
        server, "save", __file__, "s3://no-such-bucket/x.kilter", status=None).err
