"""An installed Kilter serves a consumer's CMake project."""

import json
import os
import shutil
import struct
import subprocess

import pytest


def run(*arguments):
    completed = subprocess.run([str(a) for a in arguments], capture_output=True, text=True,
                               check=False, timeout=600)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed.stdout


@pytest.fixture(scope="module")
def prefix(tmp_path_factory, build_folder):
    folder = tmp_path_factory.mktemp("prefix")
    run("cmake", "--install", build_folder, "--prefix", folder)
    return folder


@pytest.fixture(scope="module")
def examples(tmp_path_factory, prefix, repository):
    """The examples, built outside the repository so that only the prefix can serve them."""
    project = tmp_path_factory.mktemp("consumer")
    shutil.copytree(repository / "examples", project / "source")
    run("cmake", "-G", "Ninja", "-S", project / "source", "-B", project / "build",
        f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_BUILD_TYPE=Release")
    run("cmake", "--build", project / "build")
    return project / "build"


@pytest.fixture
def model(tmp_path):
    header = json.dumps({"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(range(24)))
    return path


def test_example_reads_one_tensor(examples, model):
    assert run(examples / "read_tensor", model, "w") == "w: 24 bytes\n"


def test_example_loads_every_tensor(examples, model):
    assert run(examples / "load_all", model) == "w: 24 bytes, the first is 0\n"


def test_example_keeps_runs_in_a_store(examples, model, tmp_path):
    folder, store, best = tmp_path / "out", tmp_path / "runs.kilter", tmp_path / "best"
    folder.mkdir()
    contents = {}
    for loss in ("2.5", "1.5", "2"):
        contents[loss] = model.read_bytes()[:-1] + loss[:1].encode()
        (folder / "model.safetensors").write_bytes(contents[loss])
        said = run(examples / "keep_runs", folder, store, loss, best).splitlines()
        assert said[0] == f"loss {loss}  just saved" and said[-1] == f"{best}: 1 files"
    assert [line.split()[1] for line in said[:-1]] == ["2", "1.5", "2.5"]
    assert (best / "model.safetensors").read_bytes() == contents["1.5"]


def test_example_reports_a_missing_tensor(examples, model):
    completed = subprocess.run([examples / "read_tensor", model, "nowhere"], capture_output=True, text=True,
                               check=False)
    assert completed.returncode == 1
    assert "nowhere" in completed.stdout
    assert "model.safetensors" in completed.stdout


def test_installed_headers_name_nothing_private(prefix):
    headers = list((prefix / "include" / "kilter").glob("*.h"))
    assert headers
    for header in headers:
        for line in header.read_text().splitlines():
            if line.startswith('#include "'):
                assert line.startswith('#include "kilter/'), f"{header.name}: {line}"


def test_installed_headers_compile_alone(prefix, tmp_path):
    for header in sorted((prefix / "include" / "kilter").glob("*.h")):
        source = tmp_path / "one.cc"
        source.write_text(f"#include <kilter/{header.name}>\n")
        run(os.environ.get("CXX", "g++"), "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra",
            "-Werror", f"-I{prefix / 'include'}", source)


def test_installs_program_manual_and_completions(prefix):
    assert "kilter" in run(prefix / "bin" / "kilter", "--version")
    assert list(prefix.glob("share/man/man1/kilter*.1"))
    assert (prefix / "share/bash-completion/completions/kilter").is_file()
    assert (prefix / "share/zsh/site-functions/_kilter").is_file()
    assert (prefix / "share/fish/vendor_completions.d/kilter.fish").is_file()
