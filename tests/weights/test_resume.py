"""--resume: work that is cut off is gone on with, and --dry-run says what it would take."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

sys.path.append(str(Path(__file__).resolve().parents[1] / "store"))
from blake3_numpy import blake3  # noqa: E402


@pytest.fixture
def pair(tmp_path):
    for i in (1, 2):
        torch.manual_seed(i)
        save_file({f"w{k}": torch.randn(512, 1024) for k in range(8)}, tmp_path / f"{i}.safetensors")
    return tmp_path / "1.safetensors", tmp_path / "2.safetensors"


def hidden(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def write_state(partial, plan, offset):
    state = {"kilter_partial": 1, "plan": plan, "file": 0, "offset": offset}
    partial.with_name(partial.name + ".json").write_text(json.dumps(state))


def test_what_an_interrupted_run_left_is_gone_on_with(kilter, pair, tmp_path):
    """The half that is there is taken as it is: marked bytes in it come through to the output."""
    target = tmp_path / "out.safetensors"
    whole = tmp_path / "whole.safetensors"
    kilter("average", *pair, "-o", whole, status=0)
    content = bytearray(whole.read_bytes())
    partial = tmp_path / ".out.safetensors.kilter-partial"
    kilter("average", *pair, "-o", target, "--resume", status=0)
    assert target.read_bytes() == content and not hidden(tmp_path)  # an undisturbed run leaves nothing
    target.unlink()
    digest = layout_digest(whole)
    half = 8 << 20
    content[half - 4:half] = np.float32(123).tobytes()  # so that it shows whose bytes these are
    partial.write_bytes(bytes(content[:half]) + b"\xff" * (20 << 20))
    write_state(partial, digest, half)
    run = kilter("average", *pair, "-o", target, "--resume", "--json", status=0).json
    assert run["resumed_bytes"] == half
    assert target.read_bytes() == content and not hidden(tmp_path)


def layout_digest(path):
    """Of a single safetensors file, from spec/partial-output.md alone."""
    content = path.read_bytes()
    header_bytes = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:header_bytes])
    header.pop("__metadata__")
    spans = sorted(row["data_offsets"] for row in header.values())

    def number(value):
        return int(value).to_bytes(8, "little")

    name = b"out.safetensors"
    text = number(len(name)) + name + number(0) + number(header_bytes) + content[:header_bytes]
    for begin, end in spans:
        text += number(1) + number(end - begin)
    return blake3(text).hex()


def test_ctrl_c_keeps_what_is_written_with_resume_and_nothing_without(kilter, pair, tmp_path):
    for options in (["--resume"], []):
        target = tmp_path / f"out{len(options)}.safetensors"
        run = subprocess.Popen([kilter.path, "average", *map(str, pair), "-o", str(target), "--max-memory", "16MiB",
                                "--threads", "1", *options], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        deadline = time.monotonic() + 60
        while not hidden(tmp_path) and run.poll() is None and time.monotonic() < deadline:
            time.sleep(0.0005)
        run.send_signal(signal.SIGINT)
        if run.wait() == 0:  # it was quicker than the signal
            continue
        assert not target.exists()
        if options:
            assert f".{target.name}.kilter-partial" in hidden(tmp_path)
            kilter("average", *pair, "-o", target, *options, status=0)
        assert not hidden(tmp_path), options


def test_an_unfinished_output_of_another_recipe_is_not_touched(kilter, pair, tmp_path):
    partial = tmp_path / ".out.safetensors.kilter-partial"
    partial.write_bytes(b"a week of work")
    write_state(partial, "0" * 64, 0)
    run = kilter("average", *pair, "-o", tmp_path / "out.safetensors", "--resume")
    assert run.status == 2 and "another unfinished output" in run.err and ".kilter-partial" in run.err
    assert partial.read_bytes() == b"a week of work"


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"kilter_partial": 2, "plan": "", "file": 0, "offset": 0}',
                                  '{"kilter_partial": 1, "plan": "", "file": -1, "offset": 0}'])
def test_a_broken_state_is_refused(kilter, pair, tmp_path, text):
    (tmp_path / ".out.safetensors.kilter-partial.json").write_text(text)
    run = kilter("average", *pair, "-o", tmp_path / "out.safetensors", "--resume")
    assert run.status in (2, 3) and ".kilter-partial.json" in run.err


def test_a_state_without_its_file_begins_anew(kilter, pair, tmp_path):
    whole, target = tmp_path / "whole.safetensors", tmp_path / "out.safetensors"
    kilter("average", *pair, "-o", whole, status=0)
    write_state(tmp_path / ".out.safetensors.kilter-partial", layout_digest(whole), 8 << 20)
    kilter("average", *pair, "-o", target, "--resume", status=0)
    assert target.read_bytes() == whole.read_bytes() and not hidden(tmp_path)


def test_shards_are_gone_on_with(kilter, pair, tmp_path):
    """A file size limit cuts the run off; the next one has none."""
    target = tmp_path / "shards"
    options = ["--max-shard-size", "5MiB", "--resume", "--buffered"]
    kilter("average", *pair, "-o", tmp_path / "whole", "--max-shard-size", "5MiB", status=0)
    partial = tmp_path / ".shards.kilter-partial"
    run = subprocess.run(["bash", "-c", 'trap "" XFSZ; ulimit -f 1024; exec "$@"', "bash", kilter.path, "average",
                          *map(str, pair), "-o", str(target), *options], capture_output=True, text=True)
    assert run.returncode == 5 and partial.is_dir() and not target.exists(), run.stderr
    kilter("average", *pair, "-o", target, *options, status=0)
    assert not hidden(tmp_path)
    for path in (tmp_path / "whole").iterdir():
        assert (target / path.name).read_bytes() == path.read_bytes()


def test_formats_with_checksums_are_refused(kilter, pair, tmp_path):
    run = kilter("average", *pair, "-o", tmp_path / "out.pt", "--resume")
    assert run.status == 2 and "--resume" in run.err


def test_a_dry_run_says_memory_and_time_and_writes_nothing(kilter, pair, tmp_path):
    before = sorted(os.listdir(tmp_path))
    run = kilter("average", *pair, "-o", tmp_path / "out.safetensors", "--dry-run", "--max-memory", "64MiB", status=0)
    assert "memory" in run.out and "time" in run.out and "f32" not in run.err
    report = kilter("average", *pair, "-o", tmp_path / "out.safetensors", "--dry-run", "--max-memory", "64MiB", "--json",
                    status=0).json
    assert 0 < report["estimate"]["memory_bytes"] <= 64 << 20
    assert 0 < report["estimate"]["seconds"] < 60
    assert sorted(os.listdir(tmp_path)) == before
    made = kilter("average", *pair, "-o", tmp_path / "out.safetensors", "--json", status=0).json
    assert made["files"] == report["files"] and "estimate" not in made
    assert load_file(tmp_path / "out.safetensors").keys() == {f"w{k}" for k in range(8)}
