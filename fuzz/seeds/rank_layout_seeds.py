"""kilter-dcp.json: one that is right, and one for each rule that is broken."""

import json

from json_changes import changed

RIGHT = {
    "format": "kilter-dcp", "version": 1,
    "tensors": {
        "model.w": {"dtype": "bf16", "shape": [3, 2], "requires_grad": True, "pieces": [
            {"at": [0, 0], "shape": [2, 2], "rank": 0, "name": "model.w@0,0"},
            {"at": [2, 0], "shape": [1, 2], "rank": 1, "name": "model.w@2,0"}]},
        "step": {"dtype": "i64", "shape": [], "pieces": [{"at": [], "shape": [], "rank": 0, "name": "step@"}]},
    },
    "objects": {"optimizer.groups.0.lr": {"rank": 0, "name": "optimizer.groups.0.lr"}},
    "paths": {"model.w": ["model", "w"], "optimizer.groups.0.lr": ["optimizer", "groups", 0, "lr"]},
}
PIECE = ("tensors", "model.w", "pieces", 0)


def seeds():
    yield "right", json.dumps(RIGHT).encode()
    yield "later-version", changed(RIGHT, "version", to=2)
    yield "other-format", changed(RIGHT, "format", to="kilter-step")
    yield "unknown-dtype", changed(RIGHT, "tensors", "model.w", "dtype", to="q7")
    yield "negative-size", changed(RIGHT, "tensors", "model.w", "shape", to=[-3, 2])
    yield "huge-size", changed(RIGHT, "tensors", "model.w", "shape", to=[2**63, 2])
    yield "other-dimensions", changed(RIGHT, *PIECE, "at", to=[0])
    yield "negative-rank", changed(RIGHT, *PIECE, "rank", to=-1)
    yield "huge-rank", changed(RIGHT, *PIECE, "rank", to=2**40)
    yield "nameless", changed(RIGHT, *PIECE, "name", to=None)
    yield "empty-path", changed(RIGHT, "paths", "model.w", to=[])
    yield "long-path", changed(RIGHT, "paths", "model.w", to=[0] * 65)
    yield "path-of-lists", changed(RIGHT, "paths", "model.w", to=[[]])
    yield "no-objects", changed(RIGHT, "objects", to=[])
