"""Shard indexes and other texts that come with a model."""

import json


def seeds():
    yield "index", json.dumps({"metadata": {"total_size": 3}, "weight_map": {
        "a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}).encode()
    yield "traversal", b'{"weight_map": {"a": "../../x", "b": "C:\\\\x"}}'
    yield "config", b'{"auto_map": {"AutoModel": "m.M"}, "loss": NaN, "x": [{"y": -Infinity}]}'
    yield "template", json.dumps({"chat_template": "{{ ''.__class__.__mro__ }}"}).encode()
    yield "name", b"model-00002-of-00005.safetensors"
