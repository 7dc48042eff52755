"""diff guesses what made B of A: an interpolation, a merged adapter, or neither."""

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file


def states(seed, layers=2):
    torch.manual_seed(seed)
    return {f"layers.{i}.{part}": torch.randn(shape) * 0.05 for i in range(layers)
            for part, shape in (("q", (96, 80)), ("up", (130, 96)), ("norm", (96,)))}


def tuned(base, seed, size=1e-3):
    torch.manual_seed(seed)
    return {name: tensor + torch.randn_like(tensor) * size for name, tensor in base.items()}


def write(folder, dtype, **models):
    for name, model in models.items():
        save_file({key: tensor.to(dtype) for key, tensor in model.items()}, folder / f"{name}.safetensors")


def compare(kilter, folder, *options):
    return kilter("diff", folder / "a.safetensors", folder / "b.safetensors", "--json", *options, status=1).json


@pytest.mark.parametrize("dtype, size", [(torch.float32, 1e-3), (torch.float32, 1e-5), (torch.float16, 3e-4),
                                         (torch.bfloat16, 2e-3)])
@pytest.mark.parametrize("t", [0.3, 0.75, 1.5])
def test_interpolations_are_found(kilter, tmp_path, dtype, size, t):
    a = states(1)
    c = tuned(a, 2, size)
    a, c = ({name: tensor.to(dtype) for name, tensor in model.items()} for model in (a, c))
    b = {name: (a[name].double() + t * (c[name].double() - a[name].double())).to(dtype) for name in a}
    write(tmp_path, dtype, a=a, b=b, c=c)
    report = compare(kilter, tmp_path, "--against", tmp_path / "c.safetensors")
    against = report["against"]
    # The oracle, in float64.
    x = torch.cat([(c[name].double() - a[name].double()).ravel() for name in a])
    y = torch.cat([(b[name].double() - a[name].double()).ravel() for name in a])
    wanted = float(x @ y / (x @ x))
    assert against["t"] == pytest.approx(wanted, rel=1e-6)
    assert against["residual"] == pytest.approx(float((y - wanted * x).norm() / y.norm()), rel=1e-3, abs=1e-6)
    assert against["t"] == pytest.approx(t, rel=0.03)
    (guess,) = report["guesses"]
    assert guess.startswith("interpolation of A and C at" if t <= 1 else "extrapolation"), report["against"]
    for row in report["tensors"]:
        assert row["interpolation"]["t"] == pytest.approx(t, rel=0.12)
    text = kilter("diff", tmp_path / "a.safetensors", tmp_path / "b.safetensors", "--against",
                  tmp_path / "c.safetensors", status=1).out
    assert f"looks like {guess}" in text


def test_what_rounding_hides_speaks_against_nothing(kilter, tmp_path):
    a = states(1) | {f"layers.{i}.ones": torch.ones(96) for i in range(6)}
    write(tmp_path, torch.bfloat16, a=a, c=tuned(a, 2, 3e-3))
    kilter("merge", "--a", tmp_path / "a.safetensors", "--b", tmp_path / "c.safetensors", "--weighted", "0.3",
           tmp_path / "b.safetensors", status=0)
    report = compare(kilter, tmp_path, "--against", tmp_path / "c.safetensors")
    hidden = [row for row in report["tensors"] if row["name"].endswith("ones") and "interpolation" in row]
    assert hidden and all(row["interpolation"]["rounding"] > 0.5 for row in hidden)
    assert f"6 of 6 changed tensors lie on the line (of {len(hidden)} more rounding" in report["guesses"][0]


def test_a_share_for_each_tensor(kilter, tmp_path):
    a = states(1)
    c = tuned(a, 2)
    shares = dict(zip(a, (0.1, 0.2, 0.3, 0.5, 0.8, 0.9)))
    write(tmp_path, torch.float32, a=a, c=c, b={name: a[name] + shares[name] * (c[name] - a[name]) for name in a})
    report = compare(kilter, tmp_path, "--against", tmp_path / "c.safetensors")
    for row in report["tensors"]:
        assert row["interpolation"]["t"] == pytest.approx(shares[row["name"]], rel=1e-3)
    assert "another share in each tensor, from 0.1 to 0.9" in report["guesses"][0]


def test_what_is_none(kilter, tmp_path):
    a = states(1)
    write(tmp_path, torch.float32, a=a, b=tuned(a, 2), c=tuned(a, 3))
    report = compare(kilter, tmp_path, "--against", tmp_path / "c.safetensors")
    assert report["guesses"] == [] and report["against"]["residual"] > 0.9
    text = kilter("diff", tmp_path / "a.safetensors", tmp_path / "b.safetensors", "--against",
                  tmp_path / "c.safetensors", status=1).out
    assert "no interpolation" in text


def test_c_lacks_tensors(kilter, tmp_path):
    a = states(1)
    c = tuned(a, 2)
    b = {name: a[name] + 0.5 * (c[name] - a[name]) for name in a}
    c["layers.0.q"] = torch.ones(3)
    del c["layers.1.q"]
    write(tmp_path, torch.float32, a=a, b=b, c=c)
    against = compare(kilter, tmp_path, "--against", tmp_path / "c.safetensors")["against"]
    assert (against["compared"], against["left_out"]) == (4, 2)
    kilter("diff", tmp_path / "a.safetensors", tmp_path / "b.safetensors", "--against", tmp_path / "none", status=4)


def test_merges_of_our_own(kilter, tmp_path):
    a = states(1)
    write(tmp_path, torch.bfloat16, a=a, c=tuned(a, 2, 3e-3))
    kilter("merge", "--a", tmp_path / "a.safetensors", "--b", tmp_path / "c.safetensors", "--weighted", "0.3",
           tmp_path / "b.safetensors", status=0)
    report = compare(kilter, tmp_path, "--against", tmp_path / "c.safetensors")
    assert report["guesses"][0].startswith("interpolation of A and C at 0.3")


@pytest.mark.parametrize("dtype, rank", [(torch.float32, 4), (torch.bfloat16, 8), (torch.float16, 16)])
def test_a_lora_that_peft_merged(kilter, tmp_path, dtype, rank):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(vocab_size=200, hidden_size=192, intermediate_size=256, num_hidden_layers=2,
                                      num_attention_heads=4)
    model = transformers.LlamaForCausalLM(config).to(dtype)
    model.save_pretrained(tmp_path / "base")
    adapted = get_peft_model(model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=["q_proj", "v_proj", "up_proj"]))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.08)
    adapted.merge_and_unload().save_pretrained(tmp_path / "merged")
    report = kilter("diff", tmp_path / "base", tmp_path / "merged", "--json", status=1).json
    seen = [row for row in report["tensors"] if "spectrum" in row]
    ranks = [row["spectrum"]["rank"] for row in seen]
    assert len(ranks) == 4 and set(ranks) <= {0, rank} and ranks.count(rank) >= 3  # 0: rounding may blur one
    assert any(guess.startswith(f"a merged LoRA of rank {rank}: {ranks.count(rank)} of 4") for guess in report["guesses"])
    every = kilter("diff", tmp_path / "base", tmp_path / "merged", "--spectrum", "all", "--json", status=1).json
    changed = [row for row in every["tensors"] if row["change"] == "changed"]
    assert len(changed) == 6 and sum(row["spectrum"]["rank"] == rank for row in changed) >= 4
    base, merged = (load_file(tmp_path / name / "model.safetensors") for name in ("base", "merged"))
    values = torch.linalg.svdvals(merged[changed[0]["name"]].double() - base[changed[0]["name"]].double())
    assert changed[0]["spectrum"]["values"][:4] == pytest.approx(values[:4].tolist(), rel=1e-3)
    none = kilter("diff", tmp_path / "base", tmp_path / "merged", "--spectrum", "0", "--json", status=1).json
    assert none["guesses"] == [] and not any("spectrum" in row for row in none["tensors"])


def test_a_full_fine_tune_is_no_lora(kilter, tmp_path):
    a = states(1)
    write(tmp_path, torch.float32, a=a, b=tuned(a, 2))
    report = compare(kilter, tmp_path, "--spectrum", "all")
    seen = [row["spectrum"]["rank"] for row in report["tensors"] if "spectrum" in row]
    assert seen == [0] * 4 and report["guesses"] == []
    assert not any("spectrum" in row for row in compare(kilter, tmp_path)["tensors"])  # all matrices changed


def test_wrong_usage(kilter, tmp_path):
    write(tmp_path, torch.float32, a=states(1), b=states(2))
    run = kilter("diff", tmp_path / "a.safetensors", tmp_path / "b.safetensors", "--spectrum", "some", status=2)
    assert "--spectrum wants" in run.err
