"""What every test of the program shares: the built program and the real files.

KILTER_BUILD      build folder (default build/release)
KILTER_REAL_DATA  folder of real checkpoints (default ../shared/data); tests that
                  need it skip where it is absent
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


class Run:
    """One finished run of the program."""

    def __init__(self, completed):
        self.status = completed.returncode
        self.out = completed.stdout
        self.err = completed.stderr

    @property
    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"exit {self.status}\n--- out\n{self.out}\n--- err\n{self.err}"


class Program:
    """Runs `kilter` the way a person would: arguments in, status and text out."""

    def __init__(self, path, cache):
        self.path = path
        self.cache = str(cache)  # not the user's own

    def __call__(self, *arguments, status=None, timeout=120, env=None, cwd=None,
                 prefix=()):
        """Runs `PREFIX... kilter ARGUMENTS...`; with `status`, fails unless it exits so."""
        completed = subprocess.run(
            [*prefix, str(self.path), *map(str, arguments)], capture_output=True, text=True,
            errors="surrogateescape", stdin=subprocess.DEVNULL, timeout=timeout, cwd=cwd,
            env={**os.environ, "KILTER_CACHE": self.cache, **(env or {})}, check=False)
        run = Run(completed)
        if status is not None:
            assert run.status == status, run
        return run


@pytest.fixture(scope="session")
def repository():
    return REPOSITORY


@pytest.fixture(scope="session")
def build_folder():
    return Path(os.environ.get("KILTER_BUILD", REPOSITORY / "build" / "release")).resolve()


@pytest.fixture(scope="session")
def kilter(build_folder, tmp_path_factory):
    path = build_folder / "apps" / "cli" / "kilter"
    assert path.is_file(), f"{path} is not built: run `make build`"
    return Program(path, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def real_data():
    folder = Path(os.environ.get("KILTER_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real files at {folder} (set KILTER_REAL_DATA)")
    return folder
