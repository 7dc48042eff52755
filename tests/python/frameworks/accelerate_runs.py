"""Small trainings with Accelerate, each a process of its own."""

import doctest
import json

import accelerate
import torch

import kilter.accelerate


class Counter:
    """An object of the user's own."""

    def __init__(self):
        self.seen = 0

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state):
        self.seen = state["seen"]


def parts(width=16, seedable=False, workers=0):
    accelerate.utils.set_seed(5)
    accelerator = accelerate.Accelerator(
        cpu=True, gradient_accumulation_steps=2,
        dataloader_config=accelerate.DataLoaderConfiguration(use_seedable_sampler=seedable))
    model = torch.nn.Sequential(
        torch.nn.Linear(8, width), torch.nn.BatchNorm1d(width), torch.nn.Dropout(0.3),
        torch.nn.Linear(width, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40)
    generator = torch.Generator().manual_seed(4)
    rows = torch.randn(28, 8, generator=generator)
    data = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(rows), batch_size=4, shuffle=True, num_workers=workers)
    return accelerator, accelerator.prepare(model, optimizer, schedule, data)


def train(store="runs.kilter", load=None, epochs=4, every=1, width=16, seedable=False, workers=0,
          name="result", keep=None, custom=True):
    """`store`: None is Accelerate without Kilter."""
    accelerator, (model, optimizer, schedule, data) = parts(width, seedable, workers)
    data = kilter.accelerate.resumable(accelerator, data)
    counter = Counter()
    if custom:
        accelerator.register_for_checkpointing(counter)
    step = kilter.accelerate.load_state(accelerator, load or store) if store else 0
    losses = []
    for _ in range(data.epoch, epochs):
        for batch in data:
            with accelerator.accumulate(model):
                loss = (model(batch[0]).squeeze(-1) - batch[0].sum(1)).square().mean()
                accelerator.backward(loss)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            counter.seen += len(batch[0])
            step += 1
            losses.append((step, loss.item()))
            if store and accelerator.sync_gradients and step % every == 0:
                kilter.accelerate.save_state(
                    accelerator, store, step, metadata={"loss": loss.item()}, keep=keep)
    torch.save(model.state_dict(), f"{name}.pt")
    with open(f"{name}.json", "w") as file:
        json.dump({"losses": losses, "seen": counter.seen}, file)


def examples():
    """Those of the docstrings."""
    for module in (kilter.accelerate,):
        result = doctest.testmod(module)
        assert result.attempted and not result.failed


def guide(examples):
    """Those of the guide, in order; what stands before them is what a reader has already."""
    model = torch.nn.Linear(8, 1)
    begin = {"accelerator": accelerate.Accelerator(cpu=True), "model": model,
             "optimizer": torch.optim.AdamW(model.parameters()),
             "data": torch.utils.data.DataLoader(torch.randn(28, 8), batch_size=4, shuffle=True)}
    for example in examples:
        exec(example, begin)
    assert kilter.Store("runs.kilter").find("main").step
