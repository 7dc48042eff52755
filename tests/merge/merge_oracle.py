"""One recipe, two programs: mergekit in this process, and Kilter beside it."""

import json
import logging
import shutil
import warnings
from pathlib import Path

import torch
import transformers
import yaml
from safetensors.torch import load_file

BITS = {torch.bfloat16: 8, torch.float16: 11, torch.float32: 24, torch.float64: 53}  # of the significand

# Every method, as one recipe says it. `base`: how the method takes one.
METHODS = {
    "linear": {"weight": 0.5},
    "slerp": {"t": 0.3},
    "nuslerp": {"weight": 0.5},
    "multislerp": {"weight": 0.5},
    "karcher": {},
    "task_arithmetic": {"weight": 0.5},
    "ties": {"weight": 0.5, "density": 0.6},
    "dare_linear": {"weight": 0.5, "density": 0.6},
    "dare_ties": {"weight": 0.5, "density": 0.6},
    "breadcrumbs": {"weight": 0.5, "density": 0.6, "gamma": 0.02},
    "breadcrumbs_ties": {"weight": 0.5, "density": 0.6, "gamma": 0.02},
    "della": {"weight": 0.5, "density": 0.6, "epsilon": 0.1},
    "della_linear": {"weight": 0.5, "density": 0.6, "epsilon": 0.1},
    "model_stock": {},
    "nearswap": {"t": 0.0005},
    "sce": {"select_topk": 0.4},
    "arcee_fusion": {},
    "passthrough": {"scale": 0.7},
    "ram": {},
    "ramplus_tl": {},
}
RANDOM = {"dare_linear", "dare_ties", "della", "della_linear"}
PAIRS = {"slerp", "nearswap", "arcee_fusion"}  # a base and one more
BASELESS = {"linear", "karcher", "passthrough", "nuslerp", "multislerp"}


def recipe_of(method, folder, **more):
    """The method on the models of `folder`: a base and its tunes a and b."""
    names = ["a"] if method in PAIRS | {"passthrough"} else ["a", "b"]
    recipe = {"merge_method": method, "models": [{"model": str(folder / name)} for name in names],
              "parameters": METHODS[method], **more}
    if method not in BASELESS:
        recipe["base_model"] = str(folder / "base")
    return recipe


class Oracle:
    """mergekit, loaded once."""

    def __init__(self, work):
        warnings.filterwarnings("ignore")
        logging.disable(logging.CRITICAL)  # it logs a traceback for each model without a tokenizer
        from mergekit.config import MergeConfiguration
        from mergekit.merge import MergeOptions, run_merge
        self.parse, self.options, self.merge = MergeConfiguration.model_validate, MergeOptions, run_merge
        self.work = Path(work)

    def run(self, recipe, **options):
        """The folder it made."""
        out = self.work / "theirs"
        shutil.rmtree(out, ignore_errors=True)
        recipe = {key: value for key, value in recipe.items() if key not in ("compat", "seed")}
        logging.disable(logging.CRITICAL)
        self.merge(self.parse(recipe), str(out), options=self.options(quiet=True, **options))
        return out


def load_folder(folder):
    tensors = {}
    for path in sorted(Path(folder).glob("*.safetensors")):
        tensors.update(load_file(path))
    return tensors


def load_config(folder):
    return json.loads((Path(folder) / "config.json").read_text())


def write_recipe(recipe, path):
    path.write_text(recipe if isinstance(recipe, str) else yaml.safe_dump(recipe, sort_keys=False))
    return path


def units(ours, theirs, scale, dtype=None):
    """|ours - theirs| in units of the last place that `dtype` has at the elements' `scale`."""
    a, b = ours.double(), theirs.double()
    size = torch.maximum(torch.maximum(a.abs(), b.abs()), scale.double().abs())
    exponent = torch.floor(torch.log2(size.clamp(min=1e-30)))
    return (a - b).abs() / torch.exp2(exponent - BITS[dtype or theirs.dtype] + 1)


def all_units(ours, theirs, inputs):
    """units() of all numbers of two sets of tensors, at the size of inputs of the same names."""
    assert set(ours) == set(theirs), sorted(set(ours) ^ set(theirs))
    out = []
    for name, tensor in theirs.items():
        assert ours[name].shape == tensor.shape and ours[name].dtype == tensor.dtype, name
        sizes = [one[name].double().abs() for one in inputs if name in one and one[name].shape == tensor.shape]
        out.append(units(ours[name], tensor, torch.stack(sizes).amax(0) if sizes else tensor).flatten())
    return torch.cat(out)


def make_llama(folder, seed, base=None, layers=3, dtype=torch.float32, vocabulary=96, tied=False, step=1e-2, shard="1GB"):
    """A Llama as transformers saves it; `base`: a folder that it is a little away from."""
    torch.manual_seed(seed)
    transformers.utils.logging.disable_progress_bar()
    config = transformers.LlamaConfig(
        vocab_size=vocabulary, hidden_size=48, intermediate_size=64, num_hidden_layers=layers, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=tied)
    model = transformers.LlamaForCausalLM(config)
    if base is not None:
        start = load_folder(base)
        with torch.no_grad():
            for name, own in model.named_parameters():
                own.copy_(start[name].float() + torch.randn_like(own) * step)
    model.to(dtype).save_pretrained(folder, max_shard_size=shard)
    return folder
