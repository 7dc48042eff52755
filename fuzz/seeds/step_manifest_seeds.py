"""kilter-step.json: one that is right, and one for each rule that is broken."""

import json

DIGEST = "0" * 64
RIGHT = {
    "format": "kilter-step", "version": 1, "step": 1200,
    "metadata": {"loss": 1.93, "step": 1200, "list": [1, {"b": None}], "text": "x"},
    "files": [{"path": "model.safetensors", "runs": [[136, DIGEST], [4194304, DIGEST]]},
              {"path": "sub/config.json", "runs": []}],
}


def changed(*path, to):
    value = json.loads(json.dumps(RIGHT))
    at = value
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = to
    return json.dumps(value).encode()


def seeds():
    yield "right", json.dumps(RIGHT).encode()
    yield "later-version", changed("version", to=2)
    yield "other-format", changed("format", to="kilter-store")
    yield "leaves-the-folder", changed("files", 1, "path", to="../config.json")
    yield "twice", changed("files", 1, "path", to="model.safetensors")
    yield "empty-run", changed("files", 0, "runs", 0, to=[0, DIGEST])
    yield "huge-run", changed("files", 0, "runs", 0, to=[2**40, DIGEST])
    yield "no-digest", changed("files", 0, "runs", 0, to=[5, "xyz"])
    yield "negative-step", changed("step", to=-1)
    yield "no-metadata", changed("metadata", to=[])
