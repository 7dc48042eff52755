"""strip, rename, shard; what weight operations say of values, ties and the user's own evaluation."""

import json
import sys

import lightning
import pytest
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from slim_reference import load_all


def fates(report, kind="tensors"):
    return {row.get("name", row.get("path")): (row["fate"], row.get("reason", "")) for row in report[kind]}


def sd_checkpoint(path):
    """As latent-diffusion's trainer leaves one: EMA names have no dots."""
    weights = {"model.diffusion_model.input_blocks.0.0.weight": torch.full((2, 3), 1.0),
               "model.diffusion_model.out.2.bias": torch.full((4,), 1.0),
               "first_stage_model.decoder.conv_in.weight": torch.ones(2, 2),
               "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(7)[None]}
    extra = {"model_ema.diffusion_modelinput_blocks00weight": torch.full((2, 3), 2.0),
             "model_ema.diffusion_modelout2bias": torch.full((4,), 2.0), "model_ema.decay": torch.tensor(0.99),
             "model_ema.num_updates": torch.tensor(5), "first_stage_model.loss.logvar": torch.zeros(()),
             "first_stage_model.loss.discriminator.main.0.weight": torch.ones(3, 3)}
    optimizer = {"state": {0: {"exp_avg": torch.zeros(2, 3)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}
    torch.save({"state_dict": weights | extra, "optimizer_states": [optimizer], "epoch": 3, "global_step": 70,
                "lr_schedulers": [{"last_epoch": 3}]}, path)
    return weights, extra


def test_what_a_diffusion_checkpoint_leaves_behind(kilter, tmp_path):
    weights, extra = sd_checkpoint(tmp_path / "full.ckpt")
    run = kilter("strip", tmp_path / "full.ckpt", tmp_path / "out.safetensors", "--json", status=0).json
    got = load_file(tmp_path / "out.safetensors")
    assert set(got) == {name for name in weights if "position_ids" not in name}
    assert all(torch.equal(got[name], weights[name]) for name in got)
    said = fates(run)
    assert said["state_dict.model_ema.decay"] == ("dropped", "EMA")
    assert said["state_dict.first_stage_model.loss.logvar"][1] == "a loss module of training"
    assert any(reason == "optimizer state" for fate, reason in said.values())
    assert fates(run, "values")["epoch"][0] == "dropped"
    assert run["saved_bytes"] == (tmp_path / "full.ckpt").stat().st_size - (tmp_path / "out.safetensors").stat().st_size
    text = kilter("strip", tmp_path / "full.ckpt", tmp_path / "again.safetensors", status=0).out
    assert "saved" in text and "position numbers" in text
    kilter("reproduce", tmp_path / "out.safetensors", tmp_path / "made.safetensors", status=0)


def test_ema_kept_or_in_the_place_of_the_weights(kilter, tmp_path):
    weights, extra = sd_checkpoint(tmp_path / "full.ckpt")
    kilter("strip", tmp_path / "full.ckpt", tmp_path / "both.safetensors", "--keep-ema", status=0)
    both = load_file(tmp_path / "both.safetensors")
    assert torch.equal(both["model_ema.diffusion_modelout2bias"], extra["model_ema.diffusion_modelout2bias"])
    kilter("strip", tmp_path / "full.ckpt", tmp_path / "ema.safetensors", "--part", "ema", status=0)
    ema = load_file(tmp_path / "ema.safetensors")
    assert set(ema) == {name for name in weights if "position_ids" not in name}
    assert ema["model.diffusion_model.out.2.bias"].tolist() == [2.0] * 4
    assert torch.equal(ema["first_stage_model.decoder.conv_in.weight"], weights["first_stage_model.decoder.conv_in.weight"])
    kilter("reproduce", tmp_path / "ema.safetensors", tmp_path / "made.safetensors", status=0)
    save_file({"w": torch.ones(2)}, tmp_path / "none.safetensors")
    run = kilter("strip", tmp_path / "none.safetensors", tmp_path / "no.safetensors", "--part", "ema", status=2)
    assert "no EMA" in run.err


def test_keep_and_drop_and_metadata(kilter, tmp_path):
    save_file({"w": torch.ones(2), "extra.w": torch.ones(2), "a.position_ids": torch.arange(3)},
              tmp_path / "in.safetensors", {"format": "pt", "step": "5"})
    kilter("strip", tmp_path / "in.safetensors", tmp_path / "out.safetensors", "--keep", "*position_ids", "--drop",
           "extra.*", "--metadata", "drop", status=0)
    assert set(load_file(tmp_path / "out.safetensors")) == {"w", "a.position_ids"}
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        assert set(file.metadata()) == {"format", "kilter.recipe"}
    run = kilter("strip", tmp_path / "in.safetensors", tmp_path / "no.safetensors", "--drop", "none*", status=2)
    assert "fits no tensor" in run.err


def test_second_copies_of_tied_tensors_go(kilter, slim_models, tmp_path):
    model = load_all(slim_models / "tied")
    folder = tmp_path / "twice"
    folder.mkdir()
    save_file(model | {"lm_head.weight": model["model.embed_tokens.weight"].clone()}, folder / "model.safetensors")
    (folder / "config.json").write_bytes((slim_models / "tied" / "config.json").read_bytes())
    run = kilter("strip", folder, tmp_path / "out", "--json", status=0).json
    assert fates(run)["lm_head.weight"] == ("dropped", "a second copy of model.embed_tokens.weight, to which config.json ties it")
    assert "lm_head.weight" not in load_all(tmp_path / "out")
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert torch.equal(loaded.lm_head.weight.data, model["model.embed_tokens.weight"])
    other = model["model.embed_tokens.weight"].clone()
    other[0, 0] += 1
    save_file(model | {"lm_head.weight": other}, folder / "model.safetensors")  # says tied, and is not
    kilter("strip", folder, tmp_path / "kept", status=0)
    assert torch.equal(load_all(tmp_path / "kept")["lm_head.weight"], other)

    shared = torch.ones(4, 4)
    torch.save({"lm_head.weight": shared, "embed_tokens.weight": shared}, tmp_path / "tied.pt")
    kilter("strip", tmp_path / "tied.pt", tmp_path / "tied.safetensors", status=0)
    assert set(load_file(tmp_path / "tied.safetensors")) == {"embed_tokens.weight"}
    kilter("strip", tmp_path / "tied.pt", tmp_path / "still.pt", status=0)
    still = torch.load(tmp_path / "still.pt")
    assert still["lm_head.weight"].data_ptr() == still["embed_tokens.weight"].data_ptr()


class TwoLayers(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Linear(4, 8), torch.nn.Linear(8, 2)

    def training_step(self, batch, _):
        return self.second(self.first(batch[0])).square().mean()

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters())
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]


@pytest.mark.filterwarnings("ignore")
def test_a_lightning_checkpoint(kilter, tmp_path):
    trainer = lightning.Trainer(max_steps=2, accelerator="cpu", logger=False, enable_checkpointing=False,
                                enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path)
    module = TwoLayers()
    trainer.fit(module, torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(8, 4)), batch_size=4))
    trainer.save_checkpoint(tmp_path / "full.ckpt")
    run = kilter("strip", tmp_path / "full.ckpt", tmp_path / "out.safetensors", "--json", status=0).json
    state = module.state_dict()
    got = load_file(tmp_path / "out.safetensors")
    assert got.keys() == state.keys() and all(torch.equal(got[name], state[name]) for name in got)
    assert run["saved_bytes"] > 0 and "optimizer state" in {reason for _, reason in fates(run).values()}


def test_a_trainer_folder(kilter, slim_models, tmp_path):
    folder = tmp_path / "checkpoint-5"
    model = transformers.AutoModelForCausalLM.from_pretrained(slim_models / "llama")
    model.save_pretrained(folder)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.tensor([[1, 2]])).logits.sum().backward()
    optimizer.step()
    torch.save(optimizer.state_dict(), folder / "optimizer.pt")
    torch.save({"cpu": torch.get_rng_state()}, folder / "rng_state.pth")
    (folder / "trainer_state.json").write_text('{"global_step": 5}')
    run = kilter("strip", folder, tmp_path / "out", "--json", status=0).json
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"config.json", "generation_config.json", "model.safetensors"}
    state = load_file(folder / "model.safetensors")
    got = load_all(tmp_path / "out")
    assert got.keys() == state.keys() and all(torch.equal(got[name], state[name]) for name in got)
    assert fates(run, "values")["trainer_state.json"] == ("dropped", "the trainer's state")
    assert {"optimizer state", "state of the run"} <= {reason for _, reason in fates(run).values()}
    transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")


# --- rename -------------------------------------------------------------------------------------------------


def test_rename(kilter, slim_models, tmp_path):
    before = load_all(slim_models / "llama")
    kilter("rename", slim_models / "llama", tmp_path / "out", "--strip-prefix", "model.", "--rename",
           "layers.*.mlp.up_proj.weight=blocks.*.up", status=0)
    got = load_all(tmp_path / "out")
    assert len(got) == len(before) and (tmp_path / "out" / "config.json").exists()
    assert torch.equal(got["blocks.1.up"], before["model.layers.1.mlp.up_proj.weight"])
    assert torch.equal(got["lm_head.weight"], before["lm_head.weight"])
    kilter("reproduce", tmp_path / "out", tmp_path / "again", status=0)


@pytest.mark.parametrize("options, said", [
    (["--rename", "b.=a."], "\"a.w\" has that name already"),
    (["--rename", "c.=d."], "fits no tensor"),
    (["--rename", "a.w="], "no name left"),
    (["--rename", "a*=b"], "cannot rename"),
    (["--rename", "a"], "FROM=TO"),
    ([], "nothing to rename"),
])
def test_renames_that_are_refused(kilter, tmp_path, options, said):
    save_file({"a.w": torch.ones(2), "b.w": torch.ones(3)}, tmp_path / "in.safetensors")
    run = kilter("rename", "in.safetensors", "out.safetensors", *options, cwd=tmp_path, status=2)
    assert said in run.err, run
    assert [path.name for path in tmp_path.iterdir()] == ["in.safetensors"]


# --- shard --------------------------------------------------------------------------------------------------


def test_shards_and_back(kilter, slim_models, tmp_path):
    kilter("shard", slim_models / "llama", tmp_path / "shards", "--max-shard-size", "300KB", status=0)
    parts = sorted((tmp_path / "shards").glob("model-*.safetensors"))
    assert len(parts) > 2 and all(part.stat().st_size < 310_000 for part in parts)
    index = json.loads((tmp_path / "shards" / "model.safetensors.index.json").read_text())
    before = load_all(slim_models / "llama")
    assert index["weight_map"].keys() == before.keys()
    for name, part in index["weight_map"].items():
        assert torch.equal(load_file(tmp_path / "shards" / part)[name], before[name])
    assert index["metadata"]["total_size"] == sum(one.numel() * one.element_size() for one in before.values())
    transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "shards")
    kilter("shard", tmp_path / "shards", tmp_path / "one.safetensors", "--single", status=0)
    assert kilter("diff", tmp_path / "one.safetensors", slim_models / "llama", "--json").json["tensors"]
    after = load_file(tmp_path / "one.safetensors")
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)
    assert kilter("reproduce", tmp_path / "one.safetensors", tmp_path / "again.safetensors", "--json", status=0).json["same"]
    for options in ([], ["--single", "--max-shard-size", "1GB"]):
        run = kilter("shard", tmp_path / "one.safetensors", tmp_path / "no", *options, status=2)
        assert "--single" in run.err


# --- what all operations on weights say ---------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["cast", "average", "merge"])
def test_tied_tensors_stay_one_in_torch_output(kilter, tmp_path, verb):
    for i in (1, 2):
        shared = torch.randn(64, 64)
        torch.save({"head": shared, "embed": shared, "part": shared[:2], "w": torch.ones(3)}, tmp_path / f"{i}.pt")
    out = tmp_path / "out.pt"
    arguments = {"cast": [tmp_path / "1.pt", out, "--dtype", "bf16"],
                 "average": [tmp_path / "1.pt", tmp_path / "2.pt", "-o", out],
                 "merge": ["--a", tmp_path / "1.pt", "--b", tmp_path / "2.pt", "--weighted", "0.3", out]}[verb]
    run = kilter(verb, *arguments, "--json", status=0).json
    got = torch.load(out)
    assert got["head"].data_ptr() == got["embed"].data_ptr() != got["part"].data_ptr()
    assert fates(run)["embed"][1].endswith("one with head")
    plain = [str(one) if one != out else str(tmp_path / "plain.safetensors") for one in arguments]
    kilter(verb, *plain, status=0)
    wanted = load_file(tmp_path / "plain.safetensors")
    assert all(torch.equal(got[name], wanted[name]) for name in wanted) and set(got) == set(wanted)
    kilter("reproduce", out, tmp_path / "again.pt", status=0)


def test_values_and_companions_that_do_not_go_along_are_named(kilter, slim_models, tmp_path):
    torch.save({"state_dict": {"w": torch.ones(2)}, "epoch": 3, "args": {"lr": 0.1}}, tmp_path / "in.pt")
    run = kilter("cast", tmp_path / "in.pt", tmp_path / "out.safetensors", "--json", status=0).json
    assert {name: fate for name, (fate, _) in fates(run, "values").items()} == {"epoch": "dropped", "args.lr": "dropped"}
    run = kilter("average", slim_models / "llama", slim_models / "llama", "-o", tmp_path / "one.safetensors", status=0)
    assert "config.json" in run.out and "give a folder as DST" in run.out
    run = kilter("average", slim_models / "llama", slim_models / "llama", "-o", tmp_path / "folder", "--json", status=0)
    assert fates(run.json, "values")["config.json"] == ("kept", "copied")


# --- --eval -------------------------------------------------------------------------------------------------

COUNT = (f"{sys.executable} -c \"import os, sys; sys.stderr.write('busy'); print('loss'); "
         "print(os.path.getsize(os.environ['KILTER_MODEL'])); print('done')\"")


def test_evaluation_before_and_after(kilter, tmp_path):
    source, out = tmp_path / "it's in.safetensors", tmp_path / "out.safetensors"
    save_file({"a.weight": torch.randn(64, 64)}, source)
    run = kilter("cast", source, out, "--eval", COUNT, "--json", status=0).json["evaluation"]
    assert run["before"]["result"] == source.stat().st_size and run["after"]["result"] == out.stat().st_size
    assert run["before"]["exit_status"] == run["after"]["exit_status"] == 0 and run["before"]["seconds"] > 0
    text = kilter("prune", source, out, "-s", "0.5", "--force", "--eval", "wc -c < {}; echo '{\"loss\": 0.5}'", status=0).out
    assert "before" in text and '{"loss":0.5}' in text
    run = kilter("average", source, source, "-o", out, "--force", "--eval", "wc -c < {}", "--json", status=0).json
    assert run["evaluation"]["after"]["result"] == out.stat().st_size


def test_an_evaluation_that_fails_leaves_the_output(kilter, tmp_path):
    save_file({"w": torch.ones(3)}, tmp_path / "in.safetensors")
    arguments = ("cast", tmp_path / "in.safetensors", tmp_path / "out.safetensors", "--eval", "test {} = nothing")
    kilter(*arguments, "--dry-run", status=0)
    run = kilter(*arguments, "--json", status=1).json
    assert run["evaluation"]["after"]["exit_status"] == 1 and "result" not in run["evaluation"]["after"]
    assert (tmp_path / "out.safetensors").exists()
