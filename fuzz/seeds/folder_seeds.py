"""Model folders in small: documents, shards, adapters, code, templates."""

import json
import struct

BETWEEN = b"\x1e"


def tensors(names):
    header = {n: {"dtype": "U8", "shape": [4], "data_offsets": [4 * i, 4 * i + 4]}
              for i, n in enumerate(names)}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(4 * len(names))


def seeds():
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
