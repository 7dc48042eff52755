"""Real distributed checkpoints: ranks are forked, joined by gloo, and save with torch itself."""

import datetime
import os
import tempfile
import traceback

import torch
import torch._dynamo  # torch imports it late: once here, not in every rank
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
from torch.distributed.checkpoint.state_dict import get_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Replicate, Shard, distribute_tensor


def run_ranks(count, task, *arguments):
    """Runs task(rank, count, *arguments) in COUNT processes; fails if one of them does."""
    with tempfile.TemporaryDirectory() as folder:
        children = []
        for rank in range(count):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    torch.set_num_threads(1)  # the parent's threads did not come along
                    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank,
                                            world_size=count,
                                            timeout=datetime.timedelta(seconds=60))
                    task(rank, count, *arguments)
                    dist.barrier()
                    dist.destroy_process_group()
                    status = 0
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(status)
            children.append(child)
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * count


def bits(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def assert_same(ours, theirs, where="root"):
    """Nested states are alike and every tensor is bit for bit the same."""
    if isinstance(theirs, torch.Tensor):
        assert isinstance(ours, torch.Tensor), where
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), where
        assert torch.equal(bits(ours), bits(theirs)), where
    elif isinstance(theirs, dict):
        assert isinstance(ours, dict) and list(map(str, ours)) == list(map(str, theirs)) or \
            sorted(map(str, ours)) == sorted(map(str, theirs)), where
        for key, value in theirs.items():
            assert_same(ours[key], value, f"{where}.{key}")
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs) and type(ours) is type(theirs), where
        for i, (a, b) in enumerate(zip(ours, theirs)):
            assert_same(a, b, f"{where}.{i}")
    else:
        assert ours == theirs and type(ours) is type(theirs), where


def flat(state, prefix=""):
    """Tensors of a nested state by their dotted names."""
    out = {}
    items = state.items() if isinstance(state, dict) else enumerate(state)
    for key, value in items:
        if isinstance(value, torch.Tensor):
            out[f"{prefix}{key}"] = value
        elif isinstance(value, (dict, list)):
            out.update(flat(value, f"{prefix}{key}."))
    return out


def as_torch_reads(folder, out):
    """The whole checkpoint in one process, by torch's own converter."""
    dcp_to_torch_save(folder, out)
    return torch.load(out, weights_only=False)


def numbers(shape, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    count = dtype.itemsize
    for size in shape:
        count *= size
    raw = torch.randint(0, 2 if dtype == torch.bool else 256, (count,), generator=generator,
                        dtype=torch.uint8)
    return raw.view(dtype).reshape(shape)


DTYPES = [torch.float32, torch.bfloat16, torch.float64, torch.int64, torch.bool, torch.uint16,
          torch.float8_e4m3fn, torch.complex64]


def whole_tensors():
    """What the sharded sample holds, whole."""
    tensors = {f"dtype.{i}": numbers((9, 6), dtype, i) for i, dtype in enumerate(DTYPES)}
    for i, shape in enumerate([(7,), (1, 5), (12, 3, 5), (3, 8, 2, 2), (2, 9)]):
        tensors[f"shape.{i}"] = numbers(shape, seed=100 + i)
    return tensors


def placements_of(i, rank):
    """A mesh of one dimension and of two, in turn; every way to lie on them."""
    one = [[Shard(0)], [Shard(1)], [Replicate()], [Shard(rank - 1)]]
    two = [[Shard(0), Shard(1)], [Replicate(), Shard(0)], [Shard(0), Shard(0)],
           [Shard(1), Replicate()]]
    chosen = (one if i % 2 == 0 else two)[i // 2 % 4]
    return [p if not isinstance(p, Shard) or p.dim < rank else Shard(0) for p in chosen]


def sharded_state(count):
    flat_mesh = init_device_mesh("cpu", (count,))
    grid = init_device_mesh("cpu", (2, count // 2)) if count > 1 else None
    state = {}
    for i, (name, tensor) in enumerate(whole_tensors().items()):
        placements = placements_of(i, tensor.dim())
        mesh = flat_mesh if len(placements) == 1 else grid
        if mesh is None:
            mesh, placements = flat_mesh, placements[-1:]
        state[name] = distribute_tensor(tensor, mesh, placements, src_data_rank=None)
    return state


def extra_state():
    """What is not sharded: plain tensors, views, numbers, texts, empty things."""
    base = numbers((6, 4), seed=50)
    return {"plain": numbers((5,), torch.int64, 51), "scalar": numbers((), seed=52),
            "turned": base.t(), "part": base[1:3, 1:], "none": torch.zeros(0, 3),
            "nested": {"list": [numbers((2,), seed=53), {"deep": numbers((1,), seed=54), "n": 7}],
                       "text": "größe", "tuple": (1, 2.5, None), "flag": True,
                       "groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "params": [0, 1]}]},
            "step": 1200, "big": 2**70, "bytes": b"\x00\xff"}


def save_sharded(rank, count, folder):
    dcp.save({"model": sharded_state(count), **extra_state()}, checkpoint_id=folder)


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(17, 8)
        self.first = torch.nn.Linear(8, 12)
        self.second = torch.nn.Linear(12, 3, bias=False)
        self.norm = torch.nn.BatchNorm1d(3)

    def forward(self, x):
        return self.norm(self.second(torch.relu(self.first(self.embed(x)))))


def train_and_save_fsdp(rank, count, folder):
    torch.manual_seed(3)
    model = Small()
    fully_shard(model.first)
    fully_shard(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter) * 0.5
    optimizer.step()
    weights, state = get_state_dict(model, optimizer)
    dcp.save({"model": weights, "optim": state, "step": 5}, checkpoint_id=folder)
