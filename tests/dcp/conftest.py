"""Samples that torch makes once for all tests of this folder."""

import pytest

import ranks


@pytest.fixture(scope="session")
def sharded(tmp_path_factory):
    """Folders of the same state, saved by 1, 2 and 4 ranks."""
    folders = {}
    for count in (1, 2, 4):
        folders[count] = tmp_path_factory.mktemp("dcp") / f"by_{count}"
        ranks.run_ranks(count, ranks.save_sharded, folders[count])
    return folders


@pytest.fixture(scope="session")
def fsdp(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dcp") / "fsdp"
    ranks.run_ranks(2, ranks.train_and_save_fsdp, folder)
    return folder
