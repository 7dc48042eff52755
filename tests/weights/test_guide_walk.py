"""What docs/guide/weights.md walks through: from two fine-tunes and an adapter to one model, made again from its recipe."""

import re

import peft
import pytest
import torch
import transformers

from weights_models import make_model


@pytest.fixture
def folder(tunes, tmp_path):
    for guide, name in (("base", "base"), ("tune-a", "a"), ("tune-b", "b")):
        (tmp_path / guide).symlink_to(tunes / name)
    model = peft.get_peft_model(make_model(1), peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    model.save_pretrained(tmp_path / "adapter")
    return tmp_path


def test_every_command_of_the_guide(kilter, folder, repository):
    guide = (repository / "docs" / "guide" / "weights.md").read_text()
    walk = guide.split("## From two fine-tunes")[1].split("\n## ")[0]
    (folder / "recipe.yml").write_text(re.search(r"```yaml\n(.*?)```", walk, re.S)[1])
    commands = [line.split("#")[0].split() for line in walk.splitlines() if line.startswith("kilter ")]
    assert len(commands) >= 9
    for _, *arguments in commands:
        run = kilter(*arguments, cwd=folder, status=1 if arguments[0] == "diff" else 0)
        if "--dry-run" in arguments:
            assert "memory" in run.out and "time" in run.out and not (folder / "merged").exists()
        if arguments[0] == "reproduce":
            assert run.out.startswith("same")
    assert (folder / "changes.html").read_text().startswith("<!doctype html>")
    verdict = kilter("diff", "merged", "final", cwd=folder, status=1).out
    assert "24 identical, 6 changed" in verdict and "merged LoRA of rank 4" in verdict
    for name in ("merged", "final", "final-f16"):
        model = transformers.AutoModelForCausalLM.from_pretrained(folder / name)
        assert torch.isfinite(model(torch.tensor([[1, 2, 3]])).logits).all()
