"""diff of one model under several names, in several layouts."""

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file


def compare(kilter, tmp_path, a, b, status=1):
    for name, tensors in (("a", a), ("b", b)):
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, tmp_path / f"{name}.safetensors")
    return kilter("diff", tmp_path / "a.safetensors", tmp_path / "b.safetensors", "--json", status=status).json


def row(report, name):
    return next(tensor for tensor in report["tensors"] if tensor["name"] == name)


def llama(tie=False):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                                      num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=tie)
    return transformers.LlamaForCausalLM(config)


def states(model):
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def meta_order(weight, heads):
    """What transformers' converter undoes: halves of each head, taken in turns."""
    rows, columns = weight.shape
    return weight.view(heads, 2, rows // heads // 2, columns).transpose(1, 2).reshape(rows, columns)


def as_meta(state):
    renames = {"self_attn.q_proj": "attention.wq", "self_attn.k_proj": "attention.wk", "self_attn.v_proj": "attention.wv",
               "self_attn.o_proj": "attention.wo", "mlp.gate_proj": "feed_forward.w1", "mlp.down_proj": "feed_forward.w2",
               "mlp.up_proj": "feed_forward.w3", "input_layernorm": "attention_norm", "embed_tokens": "tok_embeddings",
               "post_attention_layernorm": "ffn_norm", "lm_head": "output", "model.": ""}
    out = {}
    for name, tensor in state.items():
        heads = 4 if "q_proj" in name else 2 if "k_proj" in name else 0
        for old, new in renames.items():
            name = name.replace(old, new)
        out[name] = meta_order(tensor, heads) if heads else tensor
    return out


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "base_model.model.", "module._orig_mod."])
def test_prefixes_of_wrappers(kilter, tmp_path, prefix):
    plain = states(llama())
    report = compare(kilter, tmp_path, plain, {prefix + name: tensor for name, tensor in plain.items()})
    assert {one["change"] for one in report["tensors"]} == {"identical"} and not report["same"]
    for one in report["tensors"]:
        assert one["name_b"] == prefix + one["name"] and "prefix " + prefix.split(".")[0] in one["rule"]
    assert len(report["tensors"]) == len(plain)


def test_peft_wraps_a_model(kilter, tmp_path):
    model = llama()
    plain = states(model)
    wrapped = states(get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "v_proj"])))
    report = compare(kilter, tmp_path, plain, wrapped)
    found = {one["name"]: one for one in report["tensors"]}
    assert all(found[name]["change"] == "identical" for name in plain)
    assert "base_layer" in found["model.layers.0.self_attn.q_proj.weight"]["rule"]
    assert {one["change"] for name, one in found.items() if "lora_" in name} == {"only in B"}


@pytest.mark.parametrize("swapped", [False, True])
def test_metas_llama(kilter, tmp_path, swapped):
    ours = states(llama())
    metas = as_meta(ours)
    metas["layers.1.attention.wq.weight"][0, 0] += 1
    report = compare(kilter, tmp_path, *((metas, ours) if swapped else (ours, metas)))
    assert len(report["tensors"]) == len(ours)
    for one in report["tensors"]:
        name = one["name_b"] if swapped and "name_b" in one else one["name"]
        is_turned = "q_proj" in name or "k_proj" in name
        assert one.get("layout", "") == ("rotary" if is_turned else ""), name
        changed = name == "model.layers.1.self_attn.q_proj.weight"
        assert one["change"] == ("changed" if changed else "identical"), name
        assert one.get("changed") == (1 if changed else 0)
        if name != "model.norm.weight":
            assert "Meta's names" in one["rule"]


def gpt2():
    torch.manual_seed(1)
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=30, n_positions=8, n_embd=16, n_layer=2, n_head=2))


def test_gpt2_with_and_without_its_prefix(kilter, tmp_path):
    state = {name: tensor for name, tensor in states(gpt2()).items() if name != "lm_head.weight"}
    report = compare(kilter, tmp_path, state, {name.removeprefix("transformer."): t for name, t in state.items()})
    assert {one["change"] for one in report["tensors"]} == {"identical"}
    assert {one["rule"] for one in report["tensors"]} == {"prefix transformer. (A)"}


def test_conv1d_is_a_transposed_linear(kilter, tmp_path):
    state = {name: tensor for name, tensor in states(gpt2()).items() if name != "lm_head.weight"}
    kinds = ("c_attn.weight", "c_proj.weight", "c_fc.weight")  # attn.c_proj is square
    linear = {name: tensor.T.clone() if name.endswith(kinds) else tensor for name, tensor in state.items()}
    linear["transformer.h.1.mlp.c_fc.weight"][3, 5] *= 2
    report = compare(kilter, tmp_path, state, linear)
    for one in report["tensors"]:
        assert one.get("layout", "") == ("transposed" if one["name"].endswith(kinds) else ""), one
        changed = one["name"] == "transformer.h.1.mlp.c_fc.weight"
        assert one["change"] == ("changed" if changed else "identical")
        assert one["changed"] == (1 if changed else 0)
    text = kilter("diff", tmp_path / "a.safetensors", tmp_path / "b.safetensors", status=1).out
    assert "8 in another order: transposed" in text


def test_large_transposed_in_bands(kilter, tmp_path):
    torch.manual_seed(3)
    weight = torch.randn(1500, 2100).bfloat16()
    report = compare(kilter, tmp_path, {"w": weight}, {"w": weight.T.clone()})
    assert row(report, "w")["change"] == "identical" and row(report, "w")["layout"] == "transposed"
    other = weight.T.clone()
    other[7, 11] += 1
    reports = [compare(kilter, tmp_path, {"w": weight}, {"w": other}), compare(kilter, tmp_path, {"w": other}, {"w": weight})]
    assert [row(one, "w")["changed"] for one in reports] == [1, 1]


def test_reversed_shapes_by_chance(kilter, tmp_path):
    report = compare(kilter, tmp_path, {"w": torch.randn(40, 30)}, {"w": torch.randn(30, 40)})
    assert row(report, "w")["change"] == "shape changed" and "elements" not in row(report, "w")
    assert report["total"]["elements"] == 0


@pytest.mark.parametrize("swapped", [False, True])
def test_fused_projections(kilter, tmp_path, swapped):
    split = states(llama())
    fused = {name: t for name, t in split.items() if not any(part in name for part in ("q_pr", "k_pr", "v_pr", "gate", "up_"))}
    for layer in range(2):
        at = f"model.layers.{layer}."
        of = lambda *names: torch.cat([split[f"{at}{name}_proj.weight"] for name in names])
        fused[at + "self_attn.qkv_proj.weight"] = of("self_attn.q", "self_attn.k", "self_attn.v")
        fused[at + "mlp.gate_up_proj.weight"] = of("mlp.gate", "mlp.up")
    fused["model.layers.1.self_attn.qkv_proj.weight"][33, 0] += 1  # the second row of the keys
    report = compare(kilter, tmp_path, *((fused, split) if swapped else (split, fused)))
    assert len(report["tensors"]) == len(split)
    for one in report["tensors"]:
        name = one["name_b"] if swapped and "name_b" in one else one["name"]
        assert one["change"] == ("changed" if name == "model.layers.1.self_attn.k_proj.weight" else "identical"), one
    keys = next(one for one in report["tensors"] if one["change"] == "changed")
    side = "A" if swapped else "B"
    assert keys["changed"] == 1 and keys["layout"] == f"rows 32 to 48 of {side}"
    assert keys["rule"] == f"qkv_proj ({side}) in parts"


def test_equal_content_under_unknown_names(kilter, tmp_path):
    torch.manual_seed(5)
    one, two, three = torch.randn(9, 4), torch.randn(9, 4), torch.randn(9, 4)
    report = compare(kilter, tmp_path, {"x": one, "y": two, "zero": torch.zeros(4), "none": torch.zeros(4)},
                     {"p": two, "q": three, "r": one, "nil": torch.zeros(4)})
    found = {tensor["name"]: tensor for tensor in report["tensors"]}
    assert found["x"]["name_b"] == "r" and found["y"]["name_b"] == "p" and found["x"]["rule"] == "same content"
    assert found["x"]["change"] == "identical" and found["q"]["change"] == "only in B"
    assert found["zero"]["change"] == found["none"]["change"] == "only in A"  # which of them is nil?


def test_names_that_would_collide_are_left_alone(kilter, tmp_path):
    torch.manual_seed(6)
    a = {"model.w": torch.randn(3), "module.w": torch.randn(3)}
    report = compare(kilter, tmp_path, a, {"w": torch.randn(3)})
    assert sorted(one["change"] for one in report["tensors"]) == ["only in A", "only in A", "only in B"]
