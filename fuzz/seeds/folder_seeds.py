"""Model folders in small: documents, shards, adapters, code, templates."""

import io
import json
import pickle
import struct
import zipfile

BETWEEN = b"\x1e"


def tensors(names):
    header = {n: {"dtype": "U8", "shape": [4], "data_offsets": [4 * i, 4 * i + 4]}
              for i, n in enumerate(names)}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(4 * len(names))


def archive(value):
    """As torch.save writes a plain value."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, data in (("archive/data.pkl", pickle.dumps(value, 2)), ("archive/version", b"3\n")):
            file.writestr(zipfile.ZipInfo(name), data)
    return out.getvalue()


def ranks():
    """A step that two ranks saved (spec/sharded-step.md)."""
    value = archive(12)
    header = json.dumps({"w@0": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]},
                         "n": {"dtype": "U8", "shape": [len(value)], "data_offsets": [2, 2 + len(value)]}}).encode()
    layout = {"format": "kilter-dcp", "version": 1, "tensors": {"w": {"dtype": "u8", "shape": [6], "pieces": [
        {"at": [0], "shape": [2], "rank": 0, "name": "w@0"}, {"at": [2], "shape": [4], "rank": 1, "name": "w@2"}]}},
        "objects": {"n": {"rank": 0, "name": "n"}}, "paths": {"w": ["model", "w"], "n": ["list", 0]}}
    return [b"kilter-dcp.json\n" + json.dumps(layout).encode(),
            b"rank-00000.safetensors\n" + struct.pack("<Q", len(header)) + header + b"ab" + value,
            b"rank-00001.safetensors\n" + tensors(["w@2"])]


def seeds():
    parts = ranks()
    assert not any(BETWEEN in part for part in parts)
    yield "ranks", BETWEEN.join(parts)
    index = json.dumps({"metadata": {"total_size": 8}, "weight_map": {
        "a": "m-00001-of-00002.safetensors", "b": "m-00002-of-00002.safetensors"}}).encode()
    yield "sharded", BETWEEN.join([
        b"model.safetensors.index.json\n" + index,
        b"m-00001-of-00002.safetensors\n" + tensors(["a"]),
        b"m-00002-of-00002.safetensors\n" + tensors(["b"]),
        b'config.json\n{"model_type": "llama", "auto_map": {"AutoModel": "m.M"}}',
        b"m.py\nimport os\nos.system('x')\n",
        b"README.md\n---\nlicense: mit\nbase_model: a/b\n---\n"])
    yield "adapter", BETWEEN.join([
        b"adapter_model.safetensors\n" + tensors(["base_model.model.q.lora_A.weight",
                                                  "base_model.model.q.lora_B.weight"]),
        b'adapter_config.json\n{"peft_type": "LORA", "r": 1, "target_modules": ["q"]}'])
    yield "tokenizer", BETWEEN.join([
        b'tokenizer_config.json\n{"chat_template": "{{ x.__class__ }}"}',
        b'tokenizer.json\n{"version": "1.0", "model": {"type": "BPE"}}',
        b"chat_template.jinja\n{% for m in messages %}{{ m['content'] }}{% endfor %}"])
    yield "pipeline", BETWEEN.join([
        b'model_index.json\n{"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "U"]}',
        b"unet/diffusion_pytorch_model.safetensors\n" + tensors(["conv_in.weight"]),
        b'unet/config.json\n{"_class_name": "UNet2DConditionModel"}',
        b"vae/x.npy\n\x93NUMPY"])
    yield "pointer", (b"model.safetensors\nversion https://git-lfs.github.com/spec/v1\n"
                      b"oid sha256:" + b"0" * 64 + b"\nsize 12345\n")
    yield "lying_index", BETWEEN.join([
        b"model.safetensors.index.json\n" + index.replace(b"m-00002", b"../m-00002"),
        b"m-00001-of-00002.safetensors\n" + tensors(["a", "c"])])
    yield "loose", BETWEEN.join([b"a.safetensors\n" + tensors(["a"]),
                                 b"b/c.safetensors\n" + tensors(["a"]),
                                 b"d.pkl\n\x80\x02cos\nsystem\nU\x01x\x85R."])
