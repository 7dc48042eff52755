"""Manifests of deltas, right and wrong. Source: spec/delta.md."""

import json

RIGHT = {"base": "/models/base", "tensors": [{"name": "w", "dtype": "bf16", "shape": [4]},
                                             {"name": "n", "dtype": "f32", "shape": [], "same": True}],
         "removed": ["old"], "metadata": {"format": "pt"}, "files": [{"path": "config.json", "bytes": 12}]}


def seeds():
    yield "right", json.dumps(RIGHT).encode()
    yield "empty", json.dumps({"tensors": []}).encode()
    for name, change in {
        "list": [],
        "unknown-key": {**RIGHT, "more": 1},
        "no-tensors": {"base": "b"},
        "name-twice": {**RIGHT, "tensors": [RIGHT["tensors"][0]] * 2},
        "unknown-dtype": {**RIGHT, "tensors": [{"name": "w", "dtype": "f7", "shape": [4]}]},
        "negative-extent": {**RIGHT, "tensors": [{"name": "w", "dtype": "f32", "shape": [-4]}]},
        "huge-extent": {**RIGHT, "tensors": [{"name": "w", "dtype": "f32", "shape": [2**63]}]},
        "huge-product": {**RIGHT, "tensors": [{"name": "w", "dtype": "f32", "shape": [2**62, 2**62]}]},
        "same-of-text": {**RIGHT, "tensors": [{"name": "w", "dtype": "f32", "shape": [4], "same": "yes"}]},
        "path-leads-out": {**RIGHT, "files": [{"path": "../config.json", "bytes": 1}]},
        "path-absolute": {**RIGHT, "files": [{"path": "/etc/passwd", "bytes": 1}]},
        "path-twice": {**RIGHT, "files": RIGHT["files"] * 2},
        "metadata-number": {**RIGHT, "metadata": {"step": 1}},
    }.items():
        yield name, json.dumps(change).encode()
