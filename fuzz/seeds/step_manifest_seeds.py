"""kilter-step.json: one that is right, and one for each rule that is broken."""

import json

from json_changes import changed

DIGEST = "0" * 64
RIGHT = {
    "format": "kilter-step", "version": 1, "step": 1200,
    "metadata": {"loss": 1.93, "step": 1200, "list": [1, {"b": None}], "text": "x"},
    "files": [{"path": "model.safetensors", "runs": [[136, DIGEST], [4194304, DIGEST]]},
              {"path": "sub/config.json", "runs": []}],
}


def seeds():
    yield "right", json.dumps(RIGHT).encode()
    yield "later-version", changed(RIGHT, "version", to=2)
    yield "other-format", changed(RIGHT, "format", to="kilter-store")
    yield "leaves-the-folder", changed(RIGHT, "files", 1, "path", to="../config.json")
    yield "twice", changed(RIGHT, "files", 1, "path", to="model.safetensors")
    yield "empty-run", changed(RIGHT, "files", 0, "runs", 0, to=[0, DIGEST])
    yield "huge-run", changed(RIGHT, "files", 0, "runs", 0, to=[2**40, DIGEST])
    yield "no-digest", changed(RIGHT, "files", 0, "runs", 0, to=[5, "xyz"])
    yield "negative-step", changed(RIGHT, "step", to=-1)
    yield "no-metadata", changed(RIGHT, "metadata", to=[])
