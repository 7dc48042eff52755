"""Makes the checkpoints of data/ with DeepSpeed itself, on two processes. Run by hand, where it is installed:

    DS_ACCELERATOR=cpu python tests/deepspeed/make_checkpoints.py

DeepSpeed compiles code and starts processes, too slow for a test; what it writes lies in git.
data/expected/ holds what its own zero_to_fp32 makes of it; universal_*/ what its own ds_to_universal
makes, which also says what each parameter's optimizer state is. Made with deepspeed 0.19.8 and torch 2.15.0.
"""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys

import torch
from torch import nn
from safetensors.torch import save_file

DATA = pathlib.Path(__file__).parent / "data"
WORLD = 2


class Model(nn.Module):
    """A tied head, a frozen layer, a buffer; sizes that two ranks cannot share evenly."""

    def __init__(self, moe):
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.norm = nn.LayerNorm(6)
        self.mid = nn.Linear(6, 7)
        self.out = nn.Linear(7, 6, bias=False)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight
        self.frozen = nn.Linear(6, 6)
        for parameter in self.frozen.parameters():
            parameter.requires_grad_(False)
        self.register_buffer("table", torch.arange(5, dtype=torch.float32) / 3)
        self.register_buffer("count", torch.tensor([1, 2, 3]))
        self.moe = None
        if moe:
            from deepspeed.moe.layer import MoE
            self.moe = MoE(6, nn.Linear(6, 6), num_experts=4, ep_size=2, k=1, min_capacity=4,
                           use_rts=False)

    def forward(self, x, y):
        h = self.norm(self.frozen(self.embed(x)))
        if self.moe is not None:
            h = h + self.moe(h)[0]
        h = self.out(torch.relu(self.mid(h)))
        return nn.functional.cross_entropy(self.head(h).float(), y)


def parameter_groups(model, moe, stage):
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    rank_of = lambda p: len(p.ds_shape if stage == 3 else p.shape)
    groups = [{"params": [p for _, p in named if rank_of(p) > 1], "name": "matrices"},
              {"params": [p for _, p in named if rank_of(p) <= 1], "name": "vectors", "weight_decay": 0.0}]
    if not moe:
        return groups
    from deepspeed.moe.utils import split_params_into_different_moe_groups_for_optimizer
    return split_params_into_different_moe_groups_for_optimizer(groups)


def train(rank, name, stage, dtype, moe):
    import deepspeed
    torch.manual_seed(5)
    config = {"train_micro_batch_size_per_gpu": 4, "zero_optimization": {"stage": stage},
              "optimizer": {"type": "AdamW", "params": {"lr": 0.01, "torch_adam": True}},
              "zero_force_ds_cpu_optimizer": False}
    if dtype == "bf16":
        config["bf16"] = {"enabled": True}
    if stage == 3:
        config["zero_optimization"] |= {"stage3_param_persistence_threshold": 10, "sub_group_size": 60}
    with deepspeed.zero.Init(config_dict_or_path=config) if stage == 3 else contextlib.nullcontext():
        model = Model(moe)
    engine, *_ = deepspeed.initialize(model=model, config=config,
                                      model_parameters=parameter_groups(model, moe, stage))
    for step in range(3):
        torch.manual_seed(step * 10 + rank)
        loss = engine(torch.randint(0, 11, (4,)), torch.randint(0, 11, (4,)))
        engine.backward(loss)
        engine.step()
    client_state = {"note": "hello"}
    if not moe:
        client_state["universal_checkpoint_info"] = {"universal_checkpoint_version": 0.2}
    engine.save_checkpoint(str(DATA / name), client_state=client_state)


def work(rank):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(WORLD),
                   "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29577", "CROSS_RANK": "0",
                   "CROSS_SIZE": "1", "LOCAL_SIZE": str(WORLD)}
    torch.set_num_threads(1)
    import deepspeed
    deepspeed.init_distributed("gloo")
    for name, stage, dtype, moe in (("stage1", 1, "bf16", False), ("stage2", 2, "fp32", False),
                                    ("stage3", 3, "bf16", False), ("moe", 2, "bf16", True)):
        train(rank, name, stage, dtype, moe)


def main():
    shutil.rmtree(DATA, ignore_errors=True)
    (DATA / "expected").mkdir(parents=True)
    torch.multiprocessing.spawn(work, nprocs=WORLD)
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint
    for name in ("stage1", "stage2", "stage3"):
        state = get_fp32_state_dict_from_zero_checkpoint(str(DATA / name))
        save_file({k: v.clone() for k, v in state.items()}, DATA / "expected" / f"{name}.safetensors")
        if name == "stage2":
            continue
        target = DATA / f"universal_{name}"
        subprocess.run([sys.executable, "-m", "deepspeed.checkpoint.ds_to_universal", "--input_folder",
                        str(DATA / name / "global_step3"), "--output_folder", str(target / "global_step3"),
                        "--num_extract_workers", "1", "--num_merge_workers", "1"], check=True)
    for script in DATA.glob("*/zero_to_*.py"):
        script.unlink()  # DeepSpeed's own code, which goes along with every checkpoint


if __name__ == "__main__":
    main()
