"""Distributed checkpoints where trainers put them: accelerate's and Megatron's folders, safetensors mode."""

import json

import pytest
import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import load_file
from torch.distributed.checkpoint import HuggingFaceStorageWriter
from torch.distributed.fsdp import fully_shard

import ranks


def save_with_accelerate(rank, count, folder):
    """What the Trainer calls for FSDP with sharded state."""
    from accelerate import Accelerator, FullyShardedDataParallelPlugin
    from accelerate.utils.fsdp_utils import save_fsdp_model, save_fsdp_optimizer

    plugin = FullyShardedDataParallelPlugin(fsdp_version=2, state_dict_type="SHARDED_STATE_DICT",
                                            cpu_ram_efficient_loading=False)
    accelerator = Accelerator(cpu=True)
    torch.manual_seed(3)
    model = ranks.Small()
    fully_shard(model.first)
    fully_shard(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    save_fsdp_model(plugin, accelerator, model, str(folder))
    save_fsdp_optimizer(plugin, accelerator, optimizer, model, str(folder))
    if rank == 0:
        (folder / "trainer_state.json").write_text('{"global_step": 12}')
        torch.save({"last_epoch": 3}, folder / "scheduler.pt")


def test_a_folder_that_accelerate_wrote_for_fsdp(kilter, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "2")
    folder = tmp_path / "checkpoint-12"
    folder.mkdir()
    ranks.run_ranks(2, save_with_accelerate, folder)
    parts = {path.name: ranks.as_torch_reads(path, tmp_path / f"{path.name}.pt")
             for path in folder.iterdir() if path.is_dir()}
    assert sorted(parts) == ["optimizer_0", "pytorch_model_fsdp_0"]
    kilter("convert", folder, tmp_path / "all.pt", status=0)
    ours = torch.load(tmp_path / "all.pt", weights_only=False)
    for name, theirs in parts.items():
        ranks.assert_same(ours[name], theirs)
    assert ours["scheduler"] == {"last_epoch": 3}
    kilter("scan", folder, status=0)
    kilter("verify", folder, status=0)
    report = kilter("inspect", "--json", "--tensors", folder, status=0).json
    assert "model.first.weight" in {row["name"] for row in report["tensors"]}


def save_safetensors(rank, count, folder, consolidate):
    dcp.save(ranks.sharded_state(count), storage_writer=HuggingFaceStorageWriter(
        str(folder), save_distributed=True, enable_consolidation=consolidate))


@pytest.mark.parametrize("consolidate", [False, True])
def test_safetensors_mode(kilter, tmp_path, consolidate, monkeypatch):
    monkeypatch.setattr(ranks, "DTYPES", [torch.float32, torch.bfloat16])
    folder = tmp_path / "hf"
    ranks.run_ranks(4, save_safetensors, folder, consolidate)
    names = {path.name for path in folder.iterdir()}
    assert ("sharded" in names) == consolidate
    kilter("convert", folder, tmp_path / "m.safetensors", status=0)
    ours = load_file(tmp_path / "m.safetensors")
    assert sorted(ours) == sorted(ranks.whole_tensors())
    for name, tensor in ranks.whole_tensors().items():
        ranks.assert_same(ours[name], tensor, name)
    kilter("verify", folder, status=0)
    kilter("scan", folder, status=0)


def test_a_shard_that_is_missing_is_noticed(kilter, tmp_path, monkeypatch):
    monkeypatch.setattr(ranks, "DTYPES", [torch.float32])
    folder = tmp_path / "hf"
    ranks.run_ranks(2, save_safetensors, folder, False)
    sorted(folder.iterdir())[0].unlink()
    run = kilter("convert", folder, tmp_path / "m.safetensors")
    assert run.status == 3 and "missing" in run.err


def test_megatron_keeps_what_is_not_sharded_beside(kilter, sharded, tmp_path):
    """Made by the documented layout: DCP data, common.pt, metadata.json last."""
    import shutil
    folder = tmp_path / "iter_0000012"
    shutil.copytree(sharded[2], folder)
    common = {"iteration": 12, "args": {"hidden_size": 64}, "rng": ranks.numbers((8,), torch.uint8)}
    torch.save(common, folder / "common.pt")
    (folder / "metadata.json").write_text(json.dumps(
        {"sharded_backend": "torch_dist", "sharded_backend_version": 1, "common_backend": "torch",
         "common_backend_version": 1}))
    report = kilter("inspect", "--json", "--tensors", folder, status=0).json
    assert "Megatron" in report["format"]["detail"]
    assert "common.rng" in {row["name"] for row in report["tensors"]}
    kilter("convert", folder, tmp_path / "all.pt", status=0)
    ours = torch.load(tmp_path / "all.pt", weights_only=False)
    ranks.assert_same(ours["common"], common)
    ranks.assert_same(ours["model"], ranks.whole_tensors())
    kilter("scan", folder, status=0)
