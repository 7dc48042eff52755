"""A training run that says at its end what became of everything: python training_run.py STORE OUT.

Dropout, momentum, a schedule, a shuffled loader with workers that draw random numbers of their own.
Prints each step, so that whoever started it can kill it.
"""

import random
import sys
import time

import numpy as np
import torch

import kilter
import kilter.torch

STEPS = 24


class Noisy(torch.utils.data.Dataset):
    """Each item differs each time: torch's, numpy's and Python's generators in the worker."""

    def __len__(self):
        return 36

    def __getitem__(self, i):
        noise = torch.rand(6) + np.random.rand() + random.random()
        return torch.full((6,), float(i)) / 36 + 0.01 * noise, torch.tensor(float(i % 2))


def main(store, out, workers, pause):
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)
    torch.set_num_threads(1)
    model = torch.nn.Sequential(torch.nn.Linear(6, 32), torch.nn.BatchNorm1d(32), torch.nn.Dropout(0.3),
                                torch.nn.ReLU(), torch.nn.Linear(32, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    loader = kilter.torch.Resumable(torch.utils.data.DataLoader(
        Noisy(), batch_size=4, shuffle=True, num_workers=workers))
    saver = kilter.Saver(store, keep=3)
    saver.attach(optimizer)
    parts = dict(model=model, optimizer=optimizer, scheduler=scheduler, data=loader)
    step = saver.resume(**parts)
    print("from", step, flush=True)
    while step < STEPS:
        for x, y in loader:
            loss = torch.nn.functional.binary_cross_entropy_with_logits(model(x)[:, 0], y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            step += 1
            saver.save(step, **parts, loss=loss)
            print(step, flush=True)
            time.sleep(pause)
            if step == STEPS:
                break
    saver.wait()
    numbers = [random.random(), np.random.rand(), torch.rand(1).item(), loss.item()]
    kilter.torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(),
                       "scheduler": scheduler.state_dict(), "numbers": numbers}, out)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
