"""The tests of the Python package use what scripts/wheel unpacked, as a user's program would."""

import os
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = Path(os.environ.get("KILTER_PYTHON_PACKAGE", REPOSITORY / "build" / "python-package"))

if not (PACKAGE / "kilter" / "__init__.py").is_file():
    pytest.exit(f"{PACKAGE} is not built: run `make wheel`", returncode=3)
sys.path.insert(0, str(PACKAGE))
os.environ["PYTHONPATH"] = str(PACKAGE)  # for the programs that tests start


@pytest.fixture(scope="session")
def package():
    return PACKAGE


@pytest.fixture(scope="session")
def environment():
    """For programs that tests start."""
    return {**os.environ, "PYTHONPATH": str(PACKAGE), "PYTHONWARNINGS": "ignore"}


@pytest.fixture(scope="session")
def program(kilter):
    """The command line, under a name that leaves `kilter` to the package."""
    return kilter


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Each test in a folder of its own, so that names may be short."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KILTER_CACHE", str(tmp_path / "cache"))
    return tmp_path
