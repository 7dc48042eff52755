"""Models with different vocabularies: rows follow tokens, as in mergekit."""

import json

import pytest
import tokenizers
import torch
import transformers

from merge_oracle import load_config, load_folder, make_llama, write_recipe

ROWS = ("model.embed_tokens.weight", "lm_head.weight")


def make_tokenizer(words, specials, more=(), template=None):
    """A byte-level BPE whose merges spell the words."""
    vocabulary, merges = {token: i for i, token in enumerate([*specials, *"abcdefgh", "Ġ"])}, []
    for word in words:
        for end in range(1, len(word)):
            pair = (word[:end], word[end])
            if pair not in merges:
                merges.append(pair)
            vocabulary.setdefault(word[:end + 1], len(vocabulary))
    inner = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=merges))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = tokenizers.decoders.ByteLevel()
    inner.add_special_tokens([tokenizers.AddedToken(token, special=True) for token in specials])
    out = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, bos_token=specials[0], eos_token=specials[1])
    if more:
        out.add_special_tokens({"additional_special_tokens": list(more)})
    out.chat_template = template
    return out


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """Folders a, b, c: a has two rows more than tokens, b and c tokens of their own."""
    root = tmp_path_factory.mktemp("spoken")
    made = {"a": make_tokenizer(["abc", "abd"], ["<s>", "</s>"], template="A{{ messages }}"),
            "b": make_tokenizer(["abd", "efg"], ["<s>", "</s>", "<pad>"], ["<|im_start|>", "<|im_end|>"], "B{{ messages }}"),
            "c": make_tokenizer(["efg", "hg"], ["<s>", "</s>"], ["<|x|>"], "B{{ messages }}")}
    for seed, (name, tokenizer) in enumerate(made.items()):
        make_llama(root / name, seed, layers=1, vocabulary=len(tokenizer) + (2 if name == "a" else 0))
        tokenizer.save_pretrained(root / name)
    return root


def ids_of(folder):
    made = json.loads((folder / "tokenizer.json").read_text())
    return {**made["model"]["vocab"], **{entry["content"]: entry["id"] for entry in made["added_tokens"]}}


@pytest.fixture
def both(kilter, mergekit, tmp_path):
    def run(recipe):
        path = write_recipe(recipe, tmp_path / "recipe.yml")
        kilter("merge", path, tmp_path / "ours", "--force", "--quiet", status=0)
        return tmp_path / "ours", mergekit.run(recipe)

    return run


def recipe_for(root, names, tokenizer, base=None, **more):
    recipe = {"merge_method": "linear", "tokenizer": tokenizer, **more,
              "models": [{"model": str(root / name), "parameters": {"weight": 1 + i}} for i, name in enumerate(names)]}
    if base:
        recipe["base_model"] = str(root / base)
    return recipe


def same_rows(folders):
    """Token by token: mergekit numbers new tokens in an order that differs from run to run."""
    ours, theirs = folders
    mine, its = ids_of(ours), ids_of(theirs)
    assert set(mine) == set(its)
    a, b = load_folder(ours), load_folder(theirs)
    for name in ROWS:
        assert a[name].shape == b[name].shape
        for token, row in its.items():
            assert torch.allclose(a[name][mine[token]], b[name][row], rtol=1e-6, atol=1e-8), (name, token)
        rows = len(its)
        assert torch.allclose(a[name][rows:], b[name][rows:], rtol=1e-5, atol=1e-6)  # padding
    assert load_config(ours)["vocab_size"] == load_config(theirs)["vocab_size"] == len(a[ROWS[0]])


CASES = {
    "union with a base": (("a", "b"), {"source": "union"}, "a"),
    "union of three, base last": (("a", "b", "c"), {"source": "union"}, "c"),
    "union without a base: the average of those that have it": (("a", "b", "c"), {"source": "union"}, None),
    "base": (("a", "b"), {"source": "base"}, "a"),
    "a model's": (("a", "b", "c"), {"source": "{b}"}, "a"),
    "padded with the mean": (("a", "b"), {"source": "union", "pad_to_multiple_of": 8}, "a"),
    "a token's row from another model": (("a", "b"), {"source": "union", "tokens": {"abd": {"source": "{b}", "force": True}}}, "a"),
    "a token of zeros": (("a", "b"), {"source": "union", "tokens": {"abd": {"source": {"kind": "zero"}, "force": True},
                                                                   "<new>": {"source": {"kind": "zero"}}}}, "a"),
    "what a model has is kept without force": (("a", "b"), {"source": "union", "tokens": {"abd": {"source": {"kind": "zero"}}}}, "a"),
    "a token like another": (("a", "b"), {"source": "union", "tokens": {
        "<pad>": {"source": {"kind": "model_token", "model": "{b}", "token": "efg"}},
        "<new>": {"source": {"kind": "model_token", "model": "{b}", "token_id": 3}}}}, "a"),
}


@pytest.mark.parametrize("title", CASES)
def test_rows_follow_tokens(title, both, spoken):
    names, tokenizer, base = CASES[title]
    text = json.dumps(tokenizer)
    for name in "abc":
        text = text.replace("{%s}" % name, str(spoken / name))
    same_rows(both(recipe_for(spoken, names, json.loads(text), base)))


def test_without_a_base_the_first_model_is_it(kilter, spoken, tmp_path):
    """mergekit takes one or another, from run to run."""
    path = write_recipe(recipe_for(spoken, ["b", "a"], {"source": "base"}), tmp_path / "recipe.yml")
    kilter("merge", path, tmp_path / "out", "--quiet", status=0)
    assert ids_of(tmp_path / "out") == ids_of(spoken / "b")


def test_tied_embeddings_are_aligned_too(both, spoken, tmp_path):
    tokenizer = make_tokenizer(["gh"], ["<s>", "</s>"])
    make_llama(tmp_path / "tied", 8, layers=1, vocabulary=len(tokenizer), tied=True)
    tokenizer.save_pretrained(tmp_path / "tied")
    recipe = recipe_for(spoken, ["a"], {"source": "union"}, "a")
    recipe["models"].append({"model": str(tmp_path / "tied"), "parameters": {"weight": 1}})
    same_rows(both(recipe))


def test_the_output_speaks(kilter, spoken, tmp_path):
    recipe = recipe_for(spoken, ["a", "b"], {"source": "union"}, "a", chat_template="chatml")
    kilter("merge", write_recipe(recipe, tmp_path / "recipe.yml"), tmp_path / "out", "--quiet", status=0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    text = tokenizer.apply_chat_template([{"role": "user", "content": "abd"}], tokenize=False)
    assert text == "<|im_start|>user\nabd<|im_end|>\n"
    ids = tokenizer(text.replace("user", "ab").replace("\n", "")).input_ids
    assert tokenizer.convert_tokens_to_ids("<|im_start|>") == ids[0] < model.config.vocab_size
    assert torch.isfinite(model(torch.tensor([ids])).logits).all()
    assert kilter("reproduce", tmp_path / "out", tmp_path / "again", "--json", status=0).json["same"]


def test_a_chat_template_is_chosen_by_the_models(kilter, spoken, tmp_path):
    recipe = recipe_for(spoken, ["a", "b", "c"], {"source": "base"}, "a", chat_template="auto")
    kilter("merge", write_recipe(recipe, tmp_path / "recipe.yml"), tmp_path / "out", "--quiet", status=0)
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "out").chat_template == "B{{ messages }}"
    recipe["chat_template"] = "chatmal"
    path = write_recipe(recipe, tmp_path / "recipe.yml")
    assert "no chat_template is called 'chatmal'" in kilter("merge", path, tmp_path / "no", status=2).err


@pytest.mark.parametrize("tokenizer, status, message", [
    ({"source": "union", "tokens": {"<new>": {}}}, 2, "the token '<new>' is in no model, and has no source"),
    ({"source": "union", "tokens": {"<new>": {"source": "{a}"}}}, 2, "the token '<new>' has a source that lacks it"),
    ({"source": "union", "tokens": {"<new>": {"source": {"kind": "model_token", "model": "{a}", "token_id": 99}}}}, 2,
     "a token has an id behind the tensor's last row"),
    ({"source": "onion"}, 4, "the model 'onion' is not here"),
    ({"source": "union", "pad_to_multiple_of": 0}, 2, "pad_to_multiple_of must be a whole number"),
])
def test_tokens_that_cannot_be_are_named(kilter, spoken, tmp_path, tokenizer, status, message):
    recipe = recipe_for(spoken, ["a", "b"], json.loads(json.dumps(tokenizer).replace("{a}", str(spoken / "a"))), "a")
    run = kilter("merge", write_recipe(recipe, tmp_path / "recipe.yml"), tmp_path / "out", status=status)
    assert message in run.err and not (tmp_path / "out").exists()


def test_a_model_without_a_tokenizer_is_named(kilter, spoken, tmp_path):
    make_llama(tmp_path / "mute", 1, layers=1, vocabulary=13)
    recipe = recipe_for(spoken, ["a"], {"source": "union"}, "a")
    recipe["models"].append({"model": str(tmp_path / "mute"), "parameters": {"weight": 1}})
    run = kilter("merge", write_recipe(recipe, tmp_path / "recipe.yml"), tmp_path / "out", status=3)
    assert "the model has no tokenizer.json" in run.err


def test_memory_stays_bounded_while_rows_are_mixed(kilter, spoken, tmp_path):
    recipe = recipe_for(spoken, ["a", "b", "c"], {"source": "union", "pad_to_multiple_of": 16})
    path = write_recipe(recipe, tmp_path / "recipe.yml")
    made = []
    for options in (["--threads", 1], ["--threads", 3, "--max-memory", "32MiB"]):
        kilter("merge", path, tmp_path / "out.safetensors", "--force", "--quiet", *options, status=0)
        made.append((tmp_path / "out.safetensors").read_bytes())
    assert made[0] == made[1]
