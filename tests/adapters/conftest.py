"""Small models of real architectures and adapters for them, as PEFT makes them."""

import adapter_models
import pytest


@pytest.fixture(scope="session")
def bases(tmp_path_factory):
    """Folders of a Llama and a GPT-2, in float32."""
    folder = tmp_path_factory.mktemp("bases")
    for name, make in adapter_models.MODELS.items():
        make().save_pretrained(folder / name)
    return folder
