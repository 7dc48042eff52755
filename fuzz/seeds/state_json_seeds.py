"""State files (spec/state-json.md)."""

import json


def state(**members):
    return json.dumps({"format": "kilter-state", "version": 1, **members}).encode()


def seeds():
    yield "empty", state()
    yield "values", state(root={
        "i": 1, "f": 1.5, "n": None, "t": True, "s": "x", "l": [1, [2, []]],
        "tuple": {"$tuple": [1, {"$set": [2]}]}, "dict": {"$dict": [[1, 2], [{"$tuple": []}, 3]]},
        "big": {"$bigint": "-123456789012345678901"}, "nan": {"$float": "fff8000000000001"},
        "inf": {"$float": "-inf"}, "c": {"$complex": [1.0, {"$float": "nan"}]},
        "b": {"$bytes": "AP8="}, "text": {"$text": "7aCA"}, "g": {"$global": "torch.float32"},
        "o": {"$object": "a.B", "args": [1], "state": {"x": 1}, "extra": [2]}})
    yield "shared", state(root=[{"$ref": 0}, {"$ref": 1}],
                          shared=[[{"$ref": 1}], {"$tuple": [{"$ref": 0}]}])
    yield "records", state(tensors={
        "a": {"dtype": "f32", "shape": [16], "requires_grad": True},
        "v": {"view_of": "a", "shape": [2], "strides": [3], "offset": 1, "dtype": "u8"},
        "w": {"view_of": "a"}, "t": {"tied_to": "a", "parameter": True}},
        root={"m": {"$tensor": "a"}, "n": {"$tensor": "gone"}})
