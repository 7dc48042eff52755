"""diff of what lies beside the weights: configuration, tokenizer, metadata."""

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, trainers


@pytest.fixture
def folders(tmp_path):
    """Two folders with the same weights and nothing else."""
    for name in "ab":
        (tmp_path / name).mkdir()
        save_file({"w": torch.ones(2)}, tmp_path / name / "model.safetensors")
    return tmp_path / "a", tmp_path / "b"


def differences(kilter, folders, status=1):
    return kilter("diff", *folders, "--json", status=status).json


def test_keys_of_a_config(kilter, folders):
    configs = [{"layers": 12, "gone": None, "rope": {"theta": 1e4, "type": "yarn"}, "names": ["a"], "same": "x"},
               {"layers": 16, "new": True, "rope": {"theta": 1e6, "type": "yarn"}, "names": ["b"], "same": "x"}]
    for folder, config in zip(folders, configs):
        (folder / "config.json").write_text(json.dumps(config, indent=len(config["names"][0])))
    report = differences(kilter, folders)
    (text,) = report["texts"]
    assert text["name"] == "config.json" and text["file"] == "differs"
    assert {one["key"]: (one["before"], one["after"]) for one in text["keys"]} == {
        "layers": (12, 16), "gone": (None, None), "rope.theta": (1e4, 1e6), "names": (["a"], ["b"]), "new": (None, True)}
    assert not report["same"] and report["tensors"][0]["change"] == "identical"
    printed = kilter("diff", *folders, status=1).out
    assert "layers  12 -> 16" in printed and "new  (none) -> true" in printed and "same" not in printed


def test_other_order_and_spaces_are_told(kilter, folders):
    for folder, text in zip(folders, ('{"a": 1, "b": 2}', '{"b":2,"a":1}')):
        (folder / "config.json").write_text(text)
    (text,) = differences(kilter, folders)["texts"]
    assert text["file"] == "differs" and "keys" not in text


def test_files_here_and_there(kilter, folders):
    (folders[0] / "README.md").write_text("one")
    (folders[1] / "chat_template.jinja").write_text("{{ x }}")
    for folder in folders:
        (folder / "LICENSE").write_text("same")
    assert [(text["name"], text["file"]) for text in differences(kilter, folders)["texts"]] == [
        ("README.md", "only in A"), ("chat_template.jinja", "only in B")]


def train(words, size, normalizer=None):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    if normalizer:
        tokenizer.normalizer = normalizer
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=["<unk>"], show_progress=False)
    tokenizer.train_from_iterator(words, trainer)
    return tokenizer


def check_tokenizer(got, a, b):
    before, after = a.get_vocab(), b.get_vocab()
    assert (got["words_a"], got["words_b"]) == (len(before), len(after))
    assert got["added"] == len(after.keys() - before.keys()) and got["removed"] == len(before.keys() - after.keys())
    assert got["moved"] == sum(after[word] != number for word, number in before.items() if word in after)
    added = sorted(after.keys() - before.keys(), key=after.get)
    assert got["added_examples"] == added[:10]


def test_words_of_a_tokenizer(kilter, folders):
    words = ["the quick brown fox", "jumps over the lazy dog", "hullabaloo", "weights and measures"] * 5
    a, b = train(words, 60), train(words[:-2] + ["zebra crossing"] * 9, 70, normalizers.Lowercase())
    b.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    for folder, tokenizer in zip(folders, (a, b)):
        tokenizer.save(str(folder / "tokenizer.json"))
    report = differences(kilter, folders)
    (got,) = report["tokenizers"]
    check_tokenizer(got, a, b)
    merges = [len(json.loads(one.to_str())["model"]["merges"]) for one in (a, b)]
    assert [got["merges_a"], got["merges_b"]] == merges and got["merges_changed"]
    assert {one["key"]: one["after"] for one in got["keys"]}["normalizer"] == {"type": "Lowercase"}
    printed = kilter("diff", *folders, status=1).out
    assert f"{got['words_a']} -> {got['words_b']} words" in printed and "words only in B:" in printed


@pytest.mark.parametrize("name, source", [("spiece.model", "t5_spiece.model"), ("tokenizer.json", "t5_tokenizer.json"),
                                          ("vocab.json", "gpt2/vocab.json"), ("merges.txt", "gpt2/merges.txt")])
def test_real_tokenizers(kilter, folders, real_data, name, source):
    source = real_data / "tokenizer" / source
    for folder in folders:
        shutil.copy(source, folder / name)
        (folder / name).chmod(0o644)
    differences(kilter, folders, status=0)
    if name == "tokenizer.json":
        tokenizer = Tokenizer.from_file(str(source))
        before = Tokenizer.from_file(str(source))
        tokenizer.add_tokens(["<new>"])
        tokenizer.save(str(folders[1] / name))
        check_tokenizer(differences(kilter, folders)["tokenizers"][0], before, tokenizer)
    elif name == "vocab.json":
        words = json.loads(source.read_text())
        words["<new>"] = words.pop("the")
        (folders[1] / name).write_text(json.dumps(words))
        (got,) = differences(kilter, folders)["tokenizers"]
        assert got["added_examples"] == ["<new>"] and got["removed_examples"] == ["the"]
        assert got["words_a"] == len(words) and got["moved"] == 0
    elif name == "merges.txt":
        lines = source.read_text().splitlines()
        (folders[1] / name).write_text("\n".join(lines[:-5]))
        (got,) = differences(kilter, folders)["tokenizers"]
        assert got["merges_a"] == 50000 and got["merges_b"] == 49995 and got["merges_changed"]
    else:
        # One piece more: field 1 of the model, with field 1 of the piece: "<new>".
        (folders[1] / name).write_bytes(source.read_bytes() + b"\x0a\x07\x0a\x05<new>")
        (got,) = differences(kilter, folders)["tokenizers"]
        assert got["added_examples"] == ["<new>"] and got["words_b"] == got["words_a"] + 1 == 32001


def test_damaged_ones_only_differ(kilter, folders):
    for folder, text in zip(folders, ('{"model": {"vocab": {"a": 0}}}', '{"model": ')):
        (folder / "tokenizer.json").write_text(text)
    report = differences(kilter, folders)
    assert report["tokenizers"] == [] and report["texts"][0]["file"] == "differs"


def test_metadata(kilter, tmp_path):
    save_file({"w": torch.ones(2)}, tmp_path / "a.safetensors", {"step": "1", "same": "x", "gone": "1"})
    save_file({"w": torch.ones(2)}, tmp_path / "b.safetensors", {"step": "2", "same": "x"})
    report = kilter("diff", tmp_path / "a.safetensors", tmp_path / "b.safetensors", "--json", status=1).json
    assert report["texts"] == [{"name": "__metadata__.gone", "before": "1", "after": ""},
                               {"name": "__metadata__.step", "before": "1", "after": "2"}]
