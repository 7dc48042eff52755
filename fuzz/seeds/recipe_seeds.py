"""Recipes: one that is right, and one for each rule that is broken."""

import json

from json_changes import changed

RIGHT = {
    "kilter_recipe": 1, "program": "0.1.0", "verb": "average",
    "inputs": [{"address": "/models/a.safetensors", "digest": "ab" * 32}, {"address": "s3://b/c", "digest": "cd" * 32}],
    "weights": [0.1, 3], "dtype": "f32", "keep": [["*norm*", "f16"]], "allow": ["missing", "overflow"],
}


def seeds():
    yield "right", json.dumps(RIGHT).encode()
    yield "later-version", changed(RIGHT, "kilter_recipe", to=2)
    yield "unknown-verb", changed(RIGHT, "verb", to="slerp")
    yield "no-inputs", changed(RIGHT, "inputs", to=[])
    yield "input-without-digest", changed(RIGHT, "inputs", 0, to={"address": "a"})
    yield "text-as-weight", changed(RIGHT, "weights", to=["1"])
    yield "huge-weight", changed(RIGHT, "weights", to=[1e308, 5e-324])
    yield "unknown-dtype", changed(RIGHT, "dtype", to="q7")
    yield "keep-of-one", changed(RIGHT, "keep", to=[["*"]])
    yield "unknown-allowance", changed(RIGHT, "allow", to=["all"])
    yield "list", b"[1]"
