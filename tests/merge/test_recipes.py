"""One YAML file, mergekit and Kilter: the same tensors, layer by layer."""

import hashlib
import json

import pytest
import torch
import yaml
from safetensors.torch import save_file

from merge_oracle import (METHODS, RANDOM, all_units, load_config, load_folder, make_llama, recipe_of, write_recipe)

NEAR = 2  # units of the last place of float32, at the size of the numbers that were merged
# mergekit sums whole tensors in float32 where Kilter does in binary64.
SUMMED = {"slerp": 16, "nuslerp": 16, "multislerp": 16, "karcher": 16, "model_stock": 16, "sce": 16}
# A threshold found in float32 may fall on the other side of a number: so many may differ.
CHOSEN = {"arcee_fusion": 1e-3, "sce": 1e-3}


@pytest.fixture
def both(kilter, mergekit, tmp_path):
    """Runs a recipe through both programs; returns the two folders."""

    def run(recipe, *options):
        if isinstance(recipe, str):
            recipe = yaml.safe_load(recipe)
        path = write_recipe(recipe, tmp_path / "recipe.yml")
        kilter("merge", path, tmp_path / "ours", "--force", "--quiet", *options, status=0)
        return tmp_path / "ours", mergekit.run(recipe)

    return run


def agree(folders, inputs, near=NEAR, share=0.0):
    ours, theirs = map(load_folder, folders)
    far = all_units(ours, theirs, [load_folder(path) for path in inputs]) > near
    assert far.double().mean() <= share, f"{int(far.sum())} of {far.numel()} numbers differ"
    return ours


# What stands in {…} is the folder of the models.
RECIPES = {
    "gradients over the layers": """
        merge_method: linear
        models:
          - {{model: {f}/a, parameters: {{weight: [0.1, 0.9, 0.2]}}}}
          - {{model: {f}/b, parameters: {{weight: [1e-1, 1]}}}}""",
    "filters, the first that fits": """
        merge_method: linear
        models:
          - model: {f}/a
            parameters:
              weight:
                - {{filter: q_proj, value: [0, 1]}}
                - {{filter: mlp, value: 0.25}}
                - {{filter: layers.1., value: 0.75}}
                - value: 0.5
          - {{model: {f}/b, parameters: {{weight: 1}}}}""",
    "where no filter fits, the next level counts": """
        merge_method: linear
        parameters: {{weight: 0.3, normalize: false}}
        models:
          - {{model: {f}/a, parameters: {{weight: [{{filter: q_proj, value: 2}}]}}}}
          - {{model: {f}/b, parameters: {{weight: {{filter: "*", value: 0.2}}}}}}""",
    "flags hold until the next": """
        merge_method: linear
        parameters: {{weight: 2, normalize: [true, false, true]}}
        models: [{{model: {f}/a}}, {{model: {f}/b}}]""",
    "a base that a method knows nothing of is a model": """
        merge_method: linear
        base_model: {f}/base
        parameters: {{weight: 1}}
        models: [{{model: {f}/a}}, {{model: {f}/b}}]""",
    "a base among the models": """
        merge_method: task_arithmetic
        base_model: {f}/base
        parameters: {{int8_mask: true, lambda: 0.8}}
        models: [{{model: {f}/base}}, {{model: {f}/a, parameters: {{weight: 0.4}}}}]""",
    "frankenmerge": """
        merge_method: passthrough
        slices:
          - sources: [{{model: {f}/a, layer_range: [0, 2]}}]
          - sources: [{{model: {f}/b, layer_range: [1, 3], parameters: {{scale: [{{filter: o_proj, value: 0}}, {{value: 1}}]}}}}]
          - sources: [{{model: {f}/a, layer_range: [2, 3]}}]""",
    "slices of several models, gradients within each": """
        merge_method: linear
        parameters: {{weight: [0.2, 0.8]}}
        slices:
          - sources:
              - {{model: {f}/a, layer_range: [0, 2], parameters: {{weight: [1, 3]}}}}
              - {{model: {f}/b, layer_range: [1, 3]}}
          - sources:
              - {{model: {f}/b, layer_range: [2, 3]}}
              - {{model: {f}/base, layer_range: [0, 1], parameters: {{weight: [5, 7]}}}}
            parameters: {{weight: [{{filter: layers.2., value: [2, 4]}}]}}""",
    "filters see the input's name, and the output's where all share a number": """
        merge_method: task_arithmetic
        base_model: {f}/base
        slices:
          - sources:
              - {{model: {f}/base, layer_range: [1, 3]}}
              - {{model: {f}/a, layer_range: [0, 2], parameters: {{weight: [{{filter: layers.0., value: 0.7}}, {{value: 0.4}}]}}}}
            parameters: {{lambda: [{{filter: layers.1., value: 1.25}}, {{value: 0.5}}]}}""",
    "a slice's own base": """
        merge_method: task_arithmetic
        base_model: {f}/base
        slices:
          - base_model: {f}/b
            sources:
              - {{model: {f}/b, layer_range: [1, 3]}}
              - {{model: {f}/a, layer_range: [0, 2], parameters: {{weight: 0.5}}}}""",
    "modules": """
        merge_method: linear
        parameters: {{weight: 9, normalize: false}}
        modules:
          default:
            parameters: {{weight: [0.5, 0.25]}}
            models: [{{model: {f}/a}}, {{model: {f}/b}}]""",
    "inputs cast first, the output last": """
        merge_method: linear
        dtype: float16
        out_dtype: bfloat16
        parameters: {{weight: 1}}
        models: [{{model: {f}/a}}, {{model: {f}/b}}]""",
    "written another way": """
        merge_method: linear
        name: nobody asks
        models:
          - &one {{model: {{model: {{path: {f}/a}}}}, parameters: {{weight: "1"}}}}
          - <<: *one
            model: {f}/b
        slices: []
        tokenizer_source:""",
}


@pytest.mark.parametrize("title", RECIPES)
def test_recipes_mean_what_they_mean_to_mergekit(title, both, llamas):
    folder = llamas / "f32"
    recipe = RECIPES[title].format(f=folder)
    agree(both(recipe), [folder / name for name in ("base", "a", "b")], near=8)


@pytest.mark.parametrize("method", [name for name in METHODS if name not in RANDOM])
def test_methods_agree_with_mergekit(method, both, llamas):
    folder = llamas / "f32"
    recipe = recipe_of(method, folder)
    agree(both(recipe), [folder / name for name in ("base", "a", "b")], SUMMED.get(method, NEAR), CHOSEN.get(method, 0))


@pytest.mark.parametrize("method", sorted(RANDOM))
def test_random_methods_agree_in_distribution(method, both, llamas):
    folder = llamas / "f32"
    ours, theirs = map(load_folder, both(recipe_of(method, folder, seed=5)))
    base = load_folder(folder / "base")
    for name, tensor in theirs.items():
        if tensor.numel() < 2000:
            continue
        mine, its = (ours[name] - base[name]).flatten(), (tensor - base[name]).flatten()
        count = mine.numel()
        # How many deltas were dropped in all inputs, and how large what is left is: five deviations of a proportion.
        share, its_share = (mine != 0).double().mean(), (its != 0).double().mean()
        assert abs(share - its_share) < 5 * (0.5 / count ** 0.5), name
        assert abs(mine.double().norm() / its.double().norm() - 1) < 0.12, name


def test_slices_are_counted_in_the_config(both, llamas):
    ours, theirs = both(RECIPES["frankenmerge"].format(f=llamas / "bf16"))
    mine, its = load_config(ours), load_config(theirs)
    assert mine["num_hidden_layers"] == its["num_hidden_layers"] == 5
    assert {key: mine[key] for key in its} == its
    assert (ours / "mergekit_config.yml").is_file()


def test_the_output_loads(kilter, llamas, tmp_path):
    import transformers
    path = write_recipe(RECIPES["frankenmerge"].format(f=llamas / "bf16"), tmp_path / "recipe.yml")
    kilter("merge", path, tmp_path / "out", "--quiet", status=0)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert model.config.num_hidden_layers == 5 and model.dtype == torch.bfloat16
    assert torch.isfinite(model(torch.tensor([[1, 2, 3]])).logits).all()


def test_mixed_dtypes_are_promoted(both, llamas, tmp_path):
    half = make_llama(tmp_path / "half", 9, dtype=torch.float16)
    recipe = {"merge_method": "linear", "parameters": {"weight": 1},
              "models": [{"model": str(llamas / "bf16" / "a")}, {"model": str(half)}]}
    ours = agree(both(recipe), [half])
    assert {tensor.dtype for tensor in ours.values()} == {torch.float32}
    assert load_config(tmp_path / "ours")["dtype"] == "float32"


def test_tied_heads_are_the_embeddings(both, llamas, tmp_path):
    tied = make_llama(tmp_path / "tied", 4, tied=True)
    recipe = {"merge_method": "linear", "parameters": {"weight": 1},
              "models": [{"model": str(tied)}, {"model": str(llamas / "f32" / "a")}]}
    ours = agree(both(recipe), [tied])
    assert "lm_head.weight" in ours
    assert load_config(tmp_path / "ours")["tie_word_embeddings"] is False  # mergekit leaves true: the head is lost
    alone = {"merge_method": "linear", "parameters": {"weight": 1}, "models": [{"model": str(tied)}]}
    assert "lm_head.weight" not in agree(both(alone), [tied])


def test_names_are_looked_up_beside_the_recipe(kilter, llamas, tmp_path):
    (tmp_path / "models").symlink_to(llamas / "f32")
    path = write_recipe({"merge_method": "linear", "parameters": {"weight": 1},
                         "models": [{"model": "models/a"}, {"model": "hf://models/b"}]}, tmp_path / "recipe.yml")
    kilter("merge", path, tmp_path / "out.safetensors", "--quiet", status=0)
    again = kilter("reproduce", tmp_path / "out.safetensors", tmp_path / "again.safetensors", "--json", status=0)
    assert again.json["same"] is True


def test_bytes_do_not_depend_on_threads_or_memory(kilter, llamas, tmp_path):
    path = write_recipe(recipe_of("dare_ties", llamas / "bf16", seed=3), tmp_path / "recipe.yml")
    digests = set()
    for options in (["--threads", 1], ["--threads", 4, "--max-memory", "64MiB"], ["--max-memory", "2GiB"]):
        kilter("merge", path, tmp_path / "out.safetensors", "--force", "--quiet", *options, status=0)
        digests.add(hashlib.sha256((tmp_path / "out.safetensors").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_dry_run_writes_nothing_and_names_every_tensor(kilter, llamas, tmp_path):
    path = write_recipe(RECIPES["frankenmerge"].format(f=llamas / "f32"), tmp_path / "recipe.yml")
    run = kilter("merge", path, tmp_path / "out", "--dry-run", "--json", status=0)
    fates = {}
    for tensor in run.json["tensors"]:
        fates.setdefault(tensor["fate"], []).append(tensor["name"])
    assert len(fates["merged"]) == 3 + 5 * 9
    assert "model.layers.0.mlp.up_proj.weight" in fates["dropped"]  # of b, whose first layer no slice has
    assert not (tmp_path / "out").exists()


LINEAR = {"merge_method": "linear", "parameters": {"weight": 1}}

REFUSED = [
    ({"merge_methud": "linear"}, 2, "line 1, column 1: a recipe knows no key 'merge_methud'; did you mean 'merge_method'?"),
    ({"merge_method": "slurp"}, 2, "line 1, column 15: no merge_method is called 'slurp'; did you mean 'slerp'?"),
    ({**LINEAR}, 2, "neither models nor slices are given"),
    ({**LINEAR, "models": [{"model": "{f}/a"}], "slices": [{"sources": [{"model": "{f}/a", "layer_range": [0, 1]}]}]}, 2,
     "models and slices exclude each other"),
    ({**LINEAR, "models": [{"model": "{f}/a", "parameters": {"wieght": 1}}]}, 2, "did you mean 'weight'?"),
    ({**LINEAR, "models": [{"model": "{f}/a", "parameters": {"weight": "heavy"}}]}, 2, "weight is no number (found heavy)"),
    ({"merge_method": "linear", "models": [{"model": "{f}/a"}]}, 2, "linear wants 'weight'"),
    ({**LINEAR, "models": [{"model": "{f}/a"}, {"model": "{f}/a"}]}, 2, "stands twice in one merge"),
    ({**LINEAR, "models": [{"model": "nobody/nothing"}]}, 4, "the model 'nobody/nothing' is not here"),
    ({**LINEAR, "models": [{"model": "{f}/a+some/lora"}]}, 3, "names an adapter"),
    ({**LINEAR, "models": [{"model": {"model": "{f}/a", "lora": "some/lora"}}]}, 3, "names an adapter"),
    ({**LINEAR, "merge_method": "ties", "models": [{"model": "{f}/a"}]}, 2, "ties wants a base_model"),
    ({**LINEAR, "merge_method": "slerp", "base_model": "{f}/base", "models": [{"model": "{f}/a"}, {"model": "{f}/b"}]}, 2,
     "slerp takes another number of models (expected 1 beside the base_model, found 2)"),
    ({**LINEAR, "merge_method": "ties", "base_model": "{f}/base",
      "slices": [{"sources": [{"model": "{f}/a", "layer_range": [0, 2]}]}]}, 2, "is none of a slice's sources"),
    ({**LINEAR, "slices": [{"sources": [{"model": "{f}/a", "layer_range": [1, 4]}]}]}, 2, "has no such layers"),
    ({**LINEAR, "slices": [{"sources": [{"model": "{f}/a", "layer_range": [0, 2]},
                                        {"model": "{f}/b", "layer_range": [0, 1]}]}]}, 2, "must have as many layers"),
    ({**LINEAR, "dtype": "int4", "models": [{"model": "{f}/a"}]}, 2, "is none that weights can be merged in"),
    ({**LINEAR, "modules": {"vision": {"models": [{"model": "{f}/a"}]}}}, 2, "no tensor belongs to the module 'vision'"),
]


@pytest.mark.parametrize("recipe, status, message", REFUSED, ids=[row[2][:50] for row in REFUSED])
def test_what_cannot_be_is_refused_by_name(kilter, llamas, tmp_path, recipe, status, message):
    text = yaml.safe_dump(json.loads(json.dumps(recipe).replace("{f}", str(llamas / "f32"))), sort_keys=False)
    path = write_recipe(text, tmp_path / "recipe.yml")
    run = kilter("merge", path, tmp_path / "out", status=status)
    assert message in run.err and not (tmp_path / "out").exists()


@pytest.mark.parametrize("text, message", [
    ("merge_method: linear\nmodels: [a, b", "line 2, column 1: this is no YAML"),
    ("merge_method: linear\nmerge_method: ties\n", "line 2, column 1: the key 'merge_method' stands twice"),
    ("a: 1\n---\nb: 2\n", "a second document begins here"),
    ("merge_method: !!python/object:os.system x\n", "is none that a recipe may have"),
    ("a: &a [1,1,1,1,1,1,1,1]\n" + "".join(f"{c}: &{c} [{','.join(['*' + p] * 8)}]\n" for p, c in zip("abcdefg", "bcdefgh")),
     "more than 100000 values, aliases counted"),
    ("a: " + "[" * 40 + "]" * 40, "values nest deeper than 32"),
    ("", "the recipe is empty"),
])
def test_what_is_no_recipe_is_refused_with_its_place(kilter, tmp_path, text, message):
    path = write_recipe(text, tmp_path / "recipe.yml")
    assert message in kilter("merge", path, tmp_path / "out", status=3).err


def change(folder, target, edit):
    """A copy of a one-file model with its tensors edited."""
    target.mkdir()
    (target / "config.json").write_text((folder / "config.json").read_text())
    tensors = load_folder(folder)
    edit(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, target / "model.safetensors")
    return target


NORM = "model.layers.1.input_layernorm.weight"


@pytest.mark.parametrize("edit, allow, status, message", [
    (lambda t: t.pop(NORM), "missing", 2, f"{NORM} is missing"),
    (lambda t: t.update({"model.layers.1.extra": torch.ones(3)}), "extra", 2,
     "model.layers.1.extra has no counterpart in the other models"),
    (lambda t: t.update({NORM: torch.ones(47)}), "shape", 2, f"{NORM} is f32 [47], not f32 [48]"),
    (lambda t: t.update({"lm_head.weight": torch.ones(100, 48)}), "shape", 2, "another vocabulary"),
    (lambda t: t[NORM].fill_(float("nan")), "nonfinite", 3, f'tensor "{NORM}": weights are NaN or infinite'),
    (lambda t: t.update({"model.layers.1.mlp.up_proj.qweight": torch.ones(3)}), None, 3, "the weights are quantized"),
])
def test_models_that_do_not_fit_are_named(kilter, llamas, tmp_path, edit, allow, status, message):
    other = change(llamas / "f32" / "a", tmp_path / "other", edit)
    path = write_recipe({**LINEAR, "models": [{"model": str(llamas / "f32" / "a")}, {"model": str(other)}]},
                        tmp_path / "recipe.yml")
    assert message in kilter("merge", path, tmp_path / "out", status=status).err
    assert not (tmp_path / "out").exists()
    if allow is None:
        return
    kilter("merge", path, tmp_path / "out", "--allow", allow, "--quiet", status=0)
    assert kilter("reproduce", tmp_path / "out", tmp_path / "again", "--json", status=0).json["same"]


def test_a_quantized_model_is_named_by_its_config(kilter, llamas, tmp_path):
    other = change(llamas / "f32" / "a", tmp_path / "other", lambda tensors: None)
    config = load_config(other) | {"quantization_config": {"quant_method": "gptq"}}
    (other / "config.json").write_text(json.dumps(config))
    path = write_recipe({**LINEAR, "models": [{"model": str(other)}]}, tmp_path / "recipe.yml")
    assert 'quantization_config "gptq" in config.json' in kilter("merge", path, tmp_path / "out", status=3).err
