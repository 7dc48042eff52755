"""Small Llamas in the dtypes people merge, and mergekit to compare with."""

import pytest
import torch

from merge_oracle import Oracle, make_llama


@pytest.fixture(scope="session")
def mergekit(tmp_path_factory):
    pytest.importorskip("mergekit")
    return Oracle(tmp_path_factory.mktemp("mergekit"))


@pytest.fixture(scope="session")
def llamas(tmp_path_factory):
    """Folders f32/ and bf16/, each with a base and tunes a and b, one of them in shards."""
    root = tmp_path_factory.mktemp("llamas")
    for name, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16)):
        base = make_llama(root / name / "base", 1, dtype=dtype)
        make_llama(root / name / "a", 2, base, dtype=dtype)
        make_llama(root / name / "b", 3, base, dtype=dtype, shard="60KB")
    return root
