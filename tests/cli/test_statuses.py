"""Exit statuses and the shape of errors, as `kilter --help` and spec/cli-json.md state them."""

import json
import os
import resource
import signal
import subprocess
import time

import pytest

from samples import safetensors


def test_version_and_help(kilter):
    assert kilter("--version", status=0).out.startswith("kilter ")
    assert "inspect" in kilter("--help", status=0).out
    for command in ("inspect", "scan", "verify", "convert"):
        text = kilter(command, "--help", status=0).out
        assert "Examples:" in text and "Exit status:" in text
        assert kilter("help", command, status=0).out == text


def test_commands_of_two_words(kilter):
    text = kilter("adapter", "apply", "--help", status=0).out
    assert "kilter adapter apply BASE DST" in text
    assert kilter("help", "adapter", "apply", status=0).out == text
    assert "adapter inspect" in kilter("adapter", "--help", status=0).out
    assert "adapter inspect" in kilter("adapter", status=2).err
    assert "'adapter nothing'" in kilter("adapter", "nothing", status=2).err
    assert "kilter adapter --help" in kilter("adapter", "nothing", "--json", status=2).json["error"]["hint"]


def test_no_command_is_wrong_usage(kilter):
    assert "Usage" in kilter(status=2).err


@pytest.mark.parametrize("arguments", [["frobnicate"], ["inspect"], ["inspect", "--nope", "x"],
                                       ["convert", "a"], ["convert", "a", "b", "--max-memory", "lots"]])
def test_wrong_usage(kilter, arguments):
    assert kilter(*arguments, status=2).err.startswith("kilter:")
    assert kilter(*arguments, "--json", status=2).json["error"]["code"] == "invalid_argument"


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_not_found(kilter, tmp_path, command):
    run = kilter(command, "--json", tmp_path / "absent.pt", status=4)
    assert run.json["error"]["code"] == "not_found"
    assert run.json["error"]["path"].endswith("absent.pt")
    assert "absent.pt" in kilter(command, tmp_path / "absent.pt", status=4).err


def test_malformed(kilter, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors({"a": ("F32", [2], 8)}, data=b"\0" * 12))
    error = kilter("convert", "--json", path, tmp_path / "b.pt", status=3).json["error"]
    assert error["code"] == "malformed" and error["path"].endswith("a.safetensors")
    assert not (tmp_path / "b.pt").exists()


def test_existing_output_is_refused(kilter, tmp_path):
    source, target = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    source.write_bytes(safetensors({"a": ("F32", [2], 8)}))
    target.write_text("precious")
    run = kilter("convert", source, target, "--json", status=2)
    assert run.json["error"]["code"] == "already_exists"
    assert target.read_text() == "precious"
    kilter("convert", source, target, "--force", status=0)
    assert target.read_bytes() == source.read_bytes() or len(target.read_bytes()) > 8


def test_dry_run_writes_nothing(kilter, tmp_path):
    source = tmp_path / "a.safetensors"
    source.write_bytes(safetensors({"a": ("F32", [2], 8)}))
    report = kilter("convert", source, tmp_path / "b.pt", "--dry-run", "--json", status=0).json
    assert report["dry_run"] and report["files"] and sorted(os.listdir(tmp_path)) == ["a.safetensors"]


def test_unreadable_file(kilter, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors({"a": ("F32", [2], 8)}))
    path.chmod(0)
    # Root reads everything, except without its capabilities.
    prefix = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.getuid() == 0 else []
    assert kilter("inspect", "--json", path, status=5, prefix=prefix).json["error"]["code"] == "permission"
    assert kilter("scan", "--json", path, status=3, prefix=prefix).json["verdict"] == "unknown"


def test_folder_without_a_checkpoint(kilter, tmp_path):
    assert "not_a_checkpoint" in kilter("inspect", "--json", tmp_path, status=3).json


def test_disk_full_leaves_nothing(kilter, tmp_path):
    """A file size limit stands for the full disk: writes beyond it fail."""
    source, target = tmp_path / "a.safetensors", tmp_path / "b.pt"
    source.write_bytes(safetensors({"a": ("U8", [8 << 20], 8 << 20)}))

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    done = subprocess.run([kilter.path, "convert", "--json", source, target], preexec_fn=limit,
                          capture_output=True, check=False)
    assert done.returncode == 5, done
    assert json.loads(done.stdout)["error"]["code"] in ("io", "no_space")
    assert sorted(os.listdir(tmp_path)) == ["a.safetensors"]


def test_interrupt_leaves_nothing(kilter, tmp_path):
    source, target = tmp_path / "a.safetensors", tmp_path / "b.pt"
    header = safetensors({"a": ("U8", [6 << 30], 6 << 30)}, data=b"")
    with open(source, "wb") as stream:
        stream.write(header)
        stream.truncate(len(header) + (6 << 30))
    process = subprocess.Popen([kilter.path, "convert", "--quiet", source, target],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 20
    while not any(name.endswith(".tmp") for name in os.listdir(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert sorted(os.listdir(tmp_path)) == ["a.safetensors"]


def test_closed_pipe_is_quiet(kilter, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors({f"tensor.{i}": ("F32", [2], 8) for i in range(5000)}))
    shell = f"'{kilter.path}' inspect --tensors '{path}' | head -1"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert done.stdout and "Traceback" not in done.stderr and done.returncode == 0


def test_colour_only_when_wanted(kilter, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors({"a": ("F32", [2], 8)}))
    assert "\x1b" not in kilter("inspect", path, status=0).out
    assert "\x1b" in kilter("inspect", "--color", "always", path, status=0).out
    script = ["script", "-qec", f"'{kilter.path}' inspect '{path}'", "/dev/null"]
    env = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {"TERM": "xterm"}
    on_terminal = subprocess.run(script, capture_output=True, text=True, check=False, env=env).stdout
    assert "\x1b" in on_terminal
    plain = subprocess.run(script, capture_output=True, text=True, check=False, env=env | {"NO_COLOR": "1"}).stdout
    assert "\x1b" not in plain and "a.safetensors" in plain


def test_names_from_files_cannot_steer_the_terminal(kilter, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors({"evil\x1b[2J\u202e": ("F32", [2], 8)}))
    out = kilter("inspect", "--tensors", path, status=0).out
    assert "\x1b" not in out and "\u202e" not in out


def test_completions_and_manual_cover_every_command(kilter, build_folder):
    for shell in ("bash", "zsh", "fish"):
        text = kilter("completions", shell, status=0).out
        assert all(command in text for command in ("inspect", "scan", "verify", "convert"))
    done = subprocess.run(["bash", "-n"], input=kilter("completions", "bash").out, text=True, check=False)
    assert done.returncode == 0
    for command in ("inspect", "scan", "verify", "convert"):
        page = build_folder / "share" / "man" / "man1" / f"kilter-{command}.1"
        assert page.read_text().startswith(".TH")
