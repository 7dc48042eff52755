"""The ranks of the runs in test_dcp.py: dcp_rank.py FOLDER SCENARIO:RANKS...

Each run's ranks are forked from here: importing torch takes longer than what they do.
"""

import os
import socket
import sys
import time
import traceback
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

import kilter.dcp

ROWS = (37, 16)  # 37 rows cannot be shared evenly


def build(shard=True):
    """A small model with its optimizer, the same on every rank, sharded by FSDP2."""
    torch.manual_seed(7)
    model = torch.nn.Sequential(
        torch.nn.Linear(16, 37), torch.nn.ReLU(), torch.nn.Linear(37, 16), torch.nn.LayerNorm(16))
    if shard:
        fully_shard(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    return model, optimizer


def train(model, optimizer, steps):
    for step in range(steps):
        torch.manual_seed(step)
        model(torch.randn(4, 16)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def whole(value):
    """What all ranks have together."""
    if isinstance(value, DTensor):
        return value.full_tensor()
    if isinstance(value, dict):
        return {key: whole(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(whole(item) for item in value)
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def state_of(model, optimizer):
    weights, moments = get_state_dict(model, optimizer, options=StateDictOptions(flatten_optimizer_state_dict=True))
    return {"model": weights, "optimizer": moments, "step": 3}


def scenario_save(folder):
    model, optimizer = build()
    train(model, optimizer, 2)
    state = state_of(model, optimizer)
    writer = kilter.dcp.StorageWriter(folder / "runs.kilter", step=2, metadata={"loss": 0.5})
    dcp.save(state, storage_writer=writer)
    assert bool(writer.commit) == (dist.get_rank() == 0)
    full = whole(state)
    train(model, optimizer, 1)
    state = state_of(model, optimizer)
    saving = dcp.async_save(state, checkpoint_id=str(folder / "runs.kilter") + "@step:3",
                            storage_writer=kilter.dcp.StorageWriter())
    saving.result()
    later = whole(state)
    if dist.get_rank() == 0:
        torch.save({2: full, 3: later}, folder / "full.pt")
        dcp.save({"model": full["model"]}, checkpoint_id=folder / "foreign", no_dist=True)


def scenario_load(folder):
    full = torch.load(folder / "full.pt")
    for step, address in ((3, "runs.kilter"), (2, "runs.kilter@step:2")):
        model, optimizer = build()
        train(model, optimizer, 1)  # so that there is state to be loaded into
        state = state_of(model, optimizer)
        state["step"] = 0
        dcp.load(state, storage_reader=kilter.dcp.StorageReader(folder / address))
        set_state_dict(model, optimizer, model_state_dict=state["model"], optim_state_dict=state["optimizer"])
        assert state["step"] == 3
        compare(whole(state_of(model, optimizer)), full[step], f"step {step}")
    model, _ = build()
    state = {"model": model.state_dict()}
    dcp.load(state, storage_reader=kilter.dcp.StorageReader(folder / "foreign"))
    compare(whole(state)["model"], full[2]["model"], "a folder that torch wrote")


def compare(have, wanted, path):
    if isinstance(wanted, dict):
        assert have.keys() == wanted.keys(), (path, have.keys() ^ wanted.keys())
        for key in wanted:
            compare(have[key], wanted[key], f"{path}.{key}")
    elif isinstance(wanted, torch.Tensor):
        assert torch.equal(have, wanted), path
    else:
        assert have == wanted, (path, have, wanted)


def scenario_layouts(folder):
    """Columns, rows and copies on two ranks, a two-dimensional mesh on four."""
    ranks = dist.get_world_size()
    folder = folder / str(ranks)
    full = torch.arange(37 * 16, dtype=torch.float32).reshape(ROWS)
    big = torch.arange(1 << 18, dtype=torch.float32)
    mesh = init_device_mesh("cpu", (ranks,)) if ranks < 4 else init_device_mesh("cpu", (2, 2))
    one = [Replicate()] * mesh.ndim
    layouts = {
        "rows": [Shard(0)] * mesh.ndim, "columns": [Shard(1)] * mesh.ndim,
        "mixed": ([Shard(1), Replicate()] if mesh.ndim == 2 else [Shard(1)]),
    }
    state = {name: distribute_tensor(full, mesh, placement) for name, placement in layouts.items()}
    state.update({f"copy{i}": distribute_tensor(big + i, mesh, one) for i in range(4)})
    state["plain"] = full[:, ::2].t()  # strided
    state["half"] = full.bfloat16()
    state["empty"] = torch.zeros(0, 3)
    state["scalar"] = torch.tensor(2.5)
    state["complex"] = torch.complex(full, -full).conj()
    writer = kilter.dcp.StorageWriter(folder / "layouts.kilter", step=1)
    dcp.save(state, storage_writer=writer)
    fresh = {name: torch.zeros_like(value) for name, value in state.items()}
    # Rows become columns when it is loaded again.
    fresh["rows"] = distribute_tensor(torch.zeros(ROWS), mesh, layouts["columns"])
    fresh["columns"] = distribute_tensor(torch.zeros(ROWS), mesh, layouts["rows"])
    dcp.load(fresh, storage_reader=kilter.dcp.StorageReader(folder / "layouts.kilter"))
    compare(whole(fresh), whole(state), "layouts")


def scenario_dies(folder):
    """Rank 1 is gone in the middle of the save."""
    model, optimizer = build()
    writer = kilter.dcp.StorageWriter(folder / "runs.kilter", step=50)
    if dist.get_rank() == 1:
        writer._write = lambda *_: os._exit(9)
    dcp.save(state_of(model, optimizer), storage_writer=writer)


def rank_main(scenario, folder, rank, ranks, port):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port, WORLD_SIZE=str(ranks), RANK=str(rank))
    dist.init_process_group("gloo", init_method="env://")
    globals()[f"scenario_{scenario}"](folder)
    dist.destroy_process_group()


def fork_rank(*arguments):
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        rank_main(*arguments)
        status = 0
    except BaseException:  # whatever it was, the child ends here
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(status)


def run(scenario, folder, ranks):
    """Runs it; whether all ranks ended well. Once one has not, the others are not waited for."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    alive = {fork_rank(scenario, folder, rank, ranks, port) for rank in range(ranks)}
    well = True
    while alive:
        child, status = os.wait()
        alive.discard(child)
        if status and well:
            well = False
            time.sleep(0.5)
            for other in alive:
                os.kill(other, 9)
    return well


if __name__ == "__main__":
    torch.set_num_threads(1)
    for item in sys.argv[2:]:
        name, _, count = item.partition(":")
        if not run(name, Path(sys.argv[1]), int(count)):
            sys.exit(f"{item} has failed")
