"""Makes the files the benchmarks run on, once, in build/bench."""

import json
import struct
import subprocess
import sys

import numpy as np

from harness import KILTER, WORK


def checkpoint_tensors(gib):
    """A transformer's worth of names and shapes that adds up to about `gib` GiB of f32."""
    import torch

    width = 1024
    layer_bytes = 12 * width * width * 4
    layers = max(1, round(gib * (1 << 30) / layer_bytes))
    generator = torch.Generator().manual_seed(1)
    block = torch.randn(4 * width * width, generator=generator)
    out = {}
    for layer in range(layers):
        for name, rows in (("attn.qkv", 3), ("attn.out", 1), ("mlp.up", 4), ("mlp.down", 4)):
            tensor = torch.roll(block, layer * 7919)[: rows * width * width]
            out[f"layers.{layer}.{name}.weight"] = tensor.reshape(rows * width, width).clone()
    return out


def torch_checkpoint(gib):
    path = WORK / f"checkpoint-{gib}.pt"
    if not path.exists():
        import torch

        torch.save(checkpoint_tensors(gib), path)
    return path


def safetensors_checkpoint(gib):
    path = WORK / f"checkpoint-{gib}.safetensors"
    if not path.exists():
        source = torch_checkpoint(gib)
        subprocess.run([KILTER, "convert", "--quiet", str(source), str(path)], check=True, stdout=subprocess.DEVNULL)
    return path


def sparse_safetensors(path, tensors):
    """Header as given, data as a hole: costs no disk. tensors: {name: (dtype, shape, bytes)}."""
    header, offset = {}, 0
    for name, (dtype, shape, count) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + count]}
        offset += count
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        stream.truncate(8 + len(text) + offset)


def many_tensors(count=10_000):
    path = WORK / f"tensors-{count}.safetensors"
    if not path.exists():
        sparse_safetensors(
            path,
            {f"model.layers.{i // 10}.block_{i % 10}.weight": ("BF16", [64, 64], 8192) for i in range(count)},
        )
    return path


def many_tensors_torch(count=10_000):
    path = WORK / f"tensors-{count}.pt"
    if not path.exists():
        import torch

        torch.save({f"model.layers.{i // 10}.block_{i % 10}.weight": torch.zeros(16) for i in range(count)}, path)
    return path


def sharded_folder(shards=30, gigabytes=140):
    """A Hugging Face folder of 70 B parameters in bf16: headers are real, data are holes."""
    folder = WORK / f"sharded-{gigabytes}gb"
    if folder.exists():
        return folder
    building = folder.with_suffix(".building")
    building.mkdir(parents=True, exist_ok=True)
    width, inner, layers, vocabulary, kv = 8192, 28672, 80, 32000, 1024
    tensors = {"model.embed_tokens.weight": [vocabulary, width], "lm_head.weight": [vocabulary, width],
               "model.norm.weight": [width]}
    for n in range(layers):
        base = f"model.layers.{n}."
        tensors |= {
            base + "self_attn.q_proj.weight": [width, width], base + "self_attn.k_proj.weight": [kv, width],
            base + "self_attn.v_proj.weight": [kv, width], base + "self_attn.o_proj.weight": [width, width],
            base + "mlp.gate_proj.weight": [inner, width], base + "mlp.up_proj.weight": [inner, width],
            base + "mlp.down_proj.weight": [width, inner], base + "input_layernorm.weight": [width],
            base + "post_attention_layernorm.weight": [width],
        }
    names = list(tensors)
    weight_map, total = {}, 0
    for shard in range(shards):
        part = names[shard * len(names) // shards:(shard + 1) * len(names) // shards]
        name = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        sparse_safetensors(
            building / name, {n: ("BF16", tensors[n], int(np.prod(tensors[n], dtype=np.int64)) * 2) for n in part})
        weight_map |= {n: name for n in part}
        total += sum(int(np.prod(tensors[n], dtype=np.int64)) * 2 for n in part)
    (building / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}))
    (building / "config.json").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": width,
        "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": 64,
        "num_key_value_heads": 8, "vocab_size": vocabulary, "torch_dtype": "bfloat16"}))
    building.rename(folder)
    return folder


def small_files(count=400):
    """Torch files of the kind a folder of downloads holds: each is a real torch.save."""
    folder = WORK / f"small-{count}"
    if not folder.exists():
        import torch

        building = folder.with_suffix(".building")
        building.mkdir(parents=True, exist_ok=True)
        for i in range(count):
            state = {f"layer.{k}.weight": torch.full((8, 8), float(i)) for k in range(10)}
            torch.save({"state_dict": state, "epoch": i, "optimizer": {"param_groups": [{"lr": 0.1}]}},
                       building / f"file-{i}.pt")
        building.rename(folder)
    return folder


if __name__ == "__main__":
    sys.exit("imported by the benchmarks; run bench/run.py")
