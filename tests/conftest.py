"""What every test of the program shares: the built program and the real files.

KILTER_BUILD      build folder (default build/release)
KILTER_REAL_DATA  folder of real checkpoints (default ../shared/data); tests that
                  need it skip where it is absent
"""

import os
from pathlib import Path

import pytest

from kilter_program import Program

REPOSITORY = Path(__file__).resolve().parent.parent


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
