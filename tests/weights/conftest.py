"""Small models of a real architecture, as fine-tuning leaves them."""

import pytest
import torch

from weights_models import make_model


@pytest.fixture(scope="session")
def tunes(tmp_path_factory):
    """Folders of a base and two fine-tunes in bf16, one of them in shards."""
    folder = tmp_path_factory.mktemp("tunes")
    base = make_model(1)
    models = {"base": base, "a": make_model(2, base), "b": make_model(3, base)}
    for name, model in models.items():
        model.to(torch.bfloat16).save_pretrained(folder / name, max_shard_size="40KB" if name == "b" else "1GB")
    return folder
