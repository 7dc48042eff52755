"""Small trainings with Lightning, each a process of its own."""

import doctest
import functools
import json
import logging
import os

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

import kilter.lightning

logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)


class Small(lightning.LightningModule):
    """Dropout, momentum and a schedule."""

    def __init__(self, width=16):
        super().__init__()
        self.save_hyperparameters()
        torch.manual_seed(1)
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(8, width), torch.nn.BatchNorm1d(width), torch.nn.ReLU(),
            torch.nn.Dropout(0.3), torch.nn.Linear(width, 1))
        self.losses = []

    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        loss = (self.layers(inputs).squeeze(-1) - targets).square().mean()
        self.losses.append((self.trainer.global_step, loss.item()))
        return loss

    def validation_step(self, batch, batch_idx):
        inputs, targets = batch
        self.log("val_loss", (self.layers(inputs).squeeze(-1) - targets).square().mean())

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-2)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


class Noisy(torch.utils.data.Dataset):
    """Draws random numbers for each row, as augmentation does."""

    def __init__(self, count):
        generator = torch.Generator().manual_seed(4)
        self._inputs = torch.randn(count, 8, generator=generator)

    def __len__(self):
        return len(self._inputs)

    def __getitem__(self, index):
        inputs = self._inputs[index] + 0.1 * torch.randn(8)
        return inputs, inputs.sum()


def loader(workers=0, shuffle=True):
    return torch.utils.data.DataLoader(
        Noisy(28), batch_size=4, shuffle=shuffle, num_workers=workers)


def fit(store="runs.kilter", every=2, plugin=False, path=None, name="result", workers=0, width=16,
        monitor="", best=False, **changes):
    """`store`: None is Lightning without Kilter."""
    lightning.seed_everything(5, verbose=False)
    callbacks, plugins = [], []
    if plugin:
        plugins.append(kilter.lightning.CheckpointIO(store))
        callbacks.append(ModelCheckpoint(
            "saved", every_n_train_steps=3, save_last=True, save_top_k=2, monitor="step",
            mode="max"))
    elif store:
        callbacks.append(kilter.lightning.Checkpoints(store, every=every, monitor=monitor))
    trainer = lightning.Trainer(**{
        "max_epochs": 4, "accelerator": "cpu", "logger": False, "enable_progress_bar": False,
        "enable_model_summary": False, "callbacks": callbacks, "plugins": plugins,
        "enable_checkpointing": bool(store), "accumulate_grad_batches": 2,
        "num_sanity_val_steps": 1, **changes})
    model = Small(width)
    trainer.fit(model, loader(workers), loader(shuffle=False), ckpt_path=path)
    torch.save(model.state_dict(), f"{name}.pt")
    with open(f"{name}.json", "w") as file:
        json.dump({"step": trainer.global_step, "losses": model.losses,
                   "saved": sorted(os.listdir("saved")) if os.path.isdir("saved") else []}, file)
    if best:
        fresh = Small(width)
        trainer.validate(fresh, loader(shuffle=False), ckpt_path="best", verbose=False)
        torch.save(fresh.state_dict(), "best.pt")


def examples():
    """Those of the docstrings."""
    for module in (kilter.lightning,):
        result = doctest.testmod(module)
        assert result.attempted and not result.failed


def guide(examples):
    """Those of the guide, in order; what stands before them is what a reader has already."""
    begin = {"Trainer": functools.partial(
        lightning.Trainer, accelerator="cpu", logger=False, enable_progress_bar=False),
        "model": Small(), "data": loader()}
    for example in examples:
        exec(example, begin)
    assert kilter.Store("runs.kilter").find("main").step
