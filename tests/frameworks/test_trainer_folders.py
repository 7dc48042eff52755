"""Folders `checkpoint-N` that transformers' own Trainer writes, opened as one checkpoint."""

import json
import pathlib
import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

ZERO = pathlib.Path(__file__).resolve().parents[1] / "deepspeed" / "data" / "stage3"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trainer")
    model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=17, n_positions=16))
    data = [{"input_ids": torch.arange(8) % 17, "labels": torch.arange(8) % 17}] * 8
    arguments = TrainingArguments(output_dir=str(folder), max_steps=2, save_steps=2, report_to=[],
                                  per_device_train_batch_size=2, use_cpu=True, disable_tqdm=True)
    Trainer(model=model, args=arguments, train_dataset=data).train()
    return folder / "checkpoint-2"


def names(kilter, folder):
    tensors = kilter("inspect", folder, "--json", "--tensors", status=0).json["tensors"]
    return [tensor["name"] for tensor in tensors]


def test_every_part_has_its_name(kilter, checkpoint):
    found = names(kilter, checkpoint)
    assert set(load_file(checkpoint / "model.safetensors")) <= set(found)
    assert "optimizer.state.0.exp_avg" in found
    assert "rng_state.cpu" in found
    stated = {row["key"]: row["value"] for row in
              kilter("inspect", checkpoint, "--json", status=0).json["stated"]}
    assert stated["scheduler.last_epoch"] == "2"


def test_weights_and_optimizer_are_told_apart(kilter, checkpoint, tmp_path):
    kilter("convert", checkpoint, tmp_path / "w.safetensors", "--part", "weights", status=0)
    found, wanted = load_file(tmp_path / "w.safetensors"), load_file(checkpoint / "model.safetensors")
    assert sorted(found) == sorted(wanted)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    kilter("convert", checkpoint, tmp_path / "o.safetensors", "--part", "optimizer", status=0)
    found = load_file(tmp_path / "o.safetensors")
    state = torch.load(checkpoint / "optimizer.pt", weights_only=True)["state"]
    wanted = {f"optimizer.state.{i}.{slot}": value
              for i, one in state.items() for slot, value in one.items()}
    assert sorted(found) == sorted(wanted)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_a_folder_of_safetensors_keeps_the_trainers_texts(kilter, checkpoint, tmp_path):
    kilter("convert", checkpoint, tmp_path / "out", "--to", "safetensors", status=0)
    state = json.loads((tmp_path / "out" / "trainer_state.json").read_text())
    assert state["global_step"] == 2
    assert (tmp_path / "out" / "config.json").exists()


def test_scan_calls_it_safe(kilter, checkpoint):
    assert kilter("scan", checkpoint, "--json", status=0).json["verdict"] == "safe"


@pytest.mark.parametrize("gathered", [False, True])
def test_deepspeed_inside_is_part_of_it(kilter, checkpoint, tmp_path, gathered):
    """As the Trainer lays it out when it runs DeepSpeed: global_stepN/ and `latest` inside."""
    folder = tmp_path / "checkpoint-3"
    shutil.copytree(checkpoint, folder, ignore=shutil.ignore_patterns("optimizer.pt", "model.safetensors"))
    shutil.copytree(ZERO, folder, dirs_exist_ok=True)
    masters = load_file(ZERO.parent / "expected" / "stage3.safetensors")
    if gathered:  # stage3_gather_16bit_weights_on_model_save
        shutil.copy(checkpoint / "model.safetensors", folder)
    found = names(kilter, folder)
    prefix = "deepspeed." if gathered else ""
    assert {prefix + name for name in masters} <= set(found)
    assert f"{prefix}optimizer.mid.weight.exp_avg" in found
    assert not any("optim_states" in name for name in found)
    kilter("convert", folder, tmp_path / "w.safetensors", "--part", "weights", status=0)
    weights = load_file(tmp_path / "w.safetensors")
    wanted = load_file(checkpoint / "model.safetensors") if gathered else masters
    assert set(wanted) <= set(weights)
    kilter("convert", folder, tmp_path / "out", "--to", "safetensors", "--part", "weights", status=0)
    written = {file.name for file in (tmp_path / "out").iterdir()}
    assert "config.json" in written and "latest" not in written
    assert all(torch.equal(weights[name], wanted[name]) for name in wanted)
    assert not any("exp_avg" in name for name in weights)
