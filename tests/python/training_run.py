"""A training run that is killed and says at its end what became of everything.

    python training_run.py STORE OUT WORKERS PAUSE STEPS [DELAY...]

Dropout, momentum, a schedule, a shuffled loader with workers that draw random numbers of their own.
The run is a process forked from here (importing torch takes longer than it does); for each DELAY it
is killed with its workers, so many seconds after the first step that it made, and started again.
"""

import os
import random
import signal
import sys
import time

import numpy as np
import torch

import kilter
import kilter.torch


class Noisy(torch.utils.data.Dataset):
    """Each item differs each time: torch's, numpy's and Python's generators in the worker."""

    def __len__(self):
        return 36

    def __getitem__(self, i):
        noise = torch.rand(6) + np.random.rand() + random.random()
        return torch.full((6,), float(i)) / 36 + 0.01 * noise, torch.tensor(float(i % 2))


def train(store, out, workers, pause, steps):
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)
    model = torch.nn.Sequential(torch.nn.Linear(6, 32), torch.nn.BatchNorm1d(32), torch.nn.Dropout(0.3),
                                torch.nn.ReLU(), torch.nn.Linear(32, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    loader = kilter.torch.Resumable(torch.utils.data.DataLoader(
        Noisy(), batch_size=4, shuffle=True, num_workers=workers))
    saver = kilter.Saver(store, keep=3)
    saver.attach(optimizer)
    parts = dict(model=model, optimizer=optimizer, scheduler=scheduler, data=loader)
    step = saver.resume(**parts)
    print("from", step, flush=True)
    while step < steps:
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
            if step == steps:
                break
    saver.wait()
    numbers = [random.random(), np.random.rand(), torch.rand(1).item(), loss.item()]
    kilter.torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(),
                       "scheduler": scheduler.state_dict(), "numbers": numbers}, out)


def start(arguments):
    """The run in a process group of its own, and what it prints."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, os.fdopen(reader)
    os.setsid()
    os.dup2(writer, 1)
    status = 1
    try:
        train(*arguments)
        status = 0
    finally:
        os._exit(status)


def main(store, out, workers, pause, steps, *delays):
    arguments = (store, out, int(workers), float(pause), int(steps))
    torch.set_num_threads(1)  # threads do not survive a fork
    for delay in delays:
        pid, output = start(arguments)
        begun = int(output.readline().split()[1])
        output.readline()
        time.sleep(float(delay))
        os.killpg(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        print(f"killed {delay} s after step {begun + 1}", flush=True)
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            sys.exit("the run had ended before it was killed")
    pid, _ = start(arguments)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


if __name__ == "__main__":
    main(*sys.argv[1:])
