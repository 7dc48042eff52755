"""A base and its fine-tunes, small and of a real architecture."""

import pytest

from series_models import save_tunes


@pytest.fixture(scope="session")
def tunes(tmp_path_factory):
    """Folders `base`, `a`, `b` (in shards), `c` of one Llama in bf16."""
    return save_tunes(tmp_path_factory.mktemp("series"))
