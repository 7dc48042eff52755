"""Lightning's .ckpt and fairseq-style files: torch files with a structure of their own, and objects that
must stay inert."""

import argparse
import pickle
import sys
import types

import lightning
import pytest
import torch
from safetensors.torch import load_file
from torch import nn


class Module(lightning.LightningModule):
    def __init__(self, width, settings):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.Linear(width, 1))

    def training_step(self, batch, _):
        return self.net(batch).square().mean()

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.01)
        return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 1)}


@pytest.fixture(scope="module")
def lightning_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lightning")
    module = Module(6, argparse.Namespace(depth=2, name="tiny"))
    trainer = lightning.Trainer(max_steps=3, accelerator="cpu", logger=False, enable_progress_bar=False,
                                enable_model_summary=False, enable_checkpointing=False,
                                default_root_dir=folder)
    trainer.fit(module, torch.utils.data.DataLoader(torch.randn(12, 4), batch_size=4))
    trainer.save_checkpoint(folder / "last.ckpt")
    return folder / "last.ckpt", module


def test_lightning_weights_and_optimizer_are_told_apart(kilter, lightning_file, tmp_path):
    path, module = lightning_file
    kilter("convert", path, tmp_path / "w.safetensors", "--part", "weights", status=0)
    found = load_file(tmp_path / "w.safetensors")
    wanted = module.state_dict()
    assert sorted(found) == sorted(wanted)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    kilter("convert", path, tmp_path / "o.safetensors", "--part", "optimizer", status=0)
    found = load_file(tmp_path / "o.safetensors")
    state = torch.load(path, weights_only=False)["optimizer_states"][0]["state"]
    wanted = {f"0.state.{i}.{slot}": value for i, one in state.items() for slot, value in one.items()}
    assert sorted(found) == sorted(wanted)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_lightning_values_are_kept(kilter, lightning_file, tmp_path):
    path, _ = lightning_file
    report = kilter("inspect", path, "--json", status=0).json
    stated = {row["key"]: row["value"] for row in report["stated"]}
    assert stated["global_step"] == "3"
    kilter("convert", path, tmp_path / "out.pt", status=0)
    again = torch.load(tmp_path / "out.pt", weights_only=True)
    theirs = torch.load(path, weights_only=False)
    assert again["pytorch-lightning_version"] == theirs["pytorch-lightning_version"]
    assert again["lr_schedulers"][0]["last_epoch"] == theirs["lr_schedulers"][0]["last_epoch"]
    assert again["hyper_parameters"]["width"] == 6
    assert again["loops"].keys() == theirs["loops"].keys()
    assert kilter("scan", path, "--json", status=0).json["verdict"] == "safe"


@pytest.fixture
def omegaconf():
    """omegaconf's classes by name: enough for pickle to write what fairseq's files hold."""
    made = {}
    for module, name in (("omegaconf.dictconfig", "DictConfig"), ("omegaconf.base", "ContainerMetadata")):
        made[name] = type(name, (), {"__module__": module})
        for part in (module.split(".")[0], module):
            sys.modules.setdefault(part, types.ModuleType(part))
        setattr(sys.modules[module], name, made[name])
    yield made
    for name in ("omegaconf", "omegaconf.dictconfig", "omegaconf.base"):
        sys.modules.pop(name, None)


def test_fairseq_files_give_the_model_and_keep_the_rest_inert(kilter, omegaconf, tmp_path):
    weights = {"encoder.layers.0.fc1.weight": torch.randn(3, 4), "encoder.version": torch.tensor([3.0])}
    config = omegaconf["DictConfig"]()
    config.__dict__ |= {"_content": {"task": "translation"}, "_metadata": omegaconf["ContainerMetadata"]()}
    state = {"args": argparse.Namespace(arch="transformer", lr=[0.1]), "cfg": config, "model": weights,
             "criterion": None, "task_state": {}, "extra_state": {"epoch": 2, "train_iterator": {"epoch": 2}},
             "optimizer_history": [{"criterion_name": "C", "num_updates": 7}],
             "last_optimizer_state": {"state": {0: {"exp_avg": torch.ones(3, 4), "step": 7}},
                                      "param_groups": [{"lr": 0.1, "params": [0]}]}}
    torch.save(state, tmp_path / "checkpoint_last.pt", pickle_module=pickle)
    kilter("convert", tmp_path / "checkpoint_last.pt", tmp_path / "w.safetensors", "--part", "weights", status=0)
    found = load_file(tmp_path / "w.safetensors")
    assert sorted(found) == sorted(weights)
    assert all(torch.equal(found[name], weights[name]) for name in weights)
    kilter("convert", tmp_path / "checkpoint_last.pt", tmp_path / "o.safetensors", "--part", "optimizer", status=0)
    assert list(load_file(tmp_path / "o.safetensors")) == ["state.0.exp_avg"]
    stated = {row["key"]: row["value"] for row in
              kilter("inspect", tmp_path / "checkpoint_last.pt", "--json", status=0).json["stated"]}
    assert stated["args.arch"] == "transformer"
    assert kilter("scan", tmp_path / "checkpoint_last.pt", "--json", status=0).json["verdict"] == "safe"
