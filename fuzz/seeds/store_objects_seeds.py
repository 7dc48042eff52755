"""Commits and trees of the golden stores, sound and spoiled, commits with every kind of metadata, and times."""

import json

from golden_stores import COMMIT, raw_objects, stores

WANTED = ("good-raw", "good-names", "good-single-file", "good-unknown", "good-empty-file", "bad-tree-overlap",
          "bad-tree-lengths", "bad-tree-twice", "bad-commit-time", "bad-commit-parents")
D = "ab" * 32


def commit(**members):
    whole = {"author": "Ada", "kilter": "0.2.0", "lineage": [], "message": "m", "metadata": {}, "parents": [D],
             "time": "2026-11-21T12:00:00.000000000Z", "tree": D, "version": 1}
    return json.dumps({**whole, **members}, ensure_ascii=False, separators=(",", ":")).encode()


def seeds():
    seen = set()
    for store, files in stores():
        if store not in WANTED:
            continue
        for path, data in sorted(files.items()):
            for kind, text in raw_objects(data) if path.endswith(".pack") else ():
                if text not in seen:
                    seen.add(text)
                    yield f"{store}-{'commit' if kind == COMMIT else 'tree'}-{len(seen)}", text
    yield "commit-values", commit(metadata={
        "step": 1200, "loss": 1.93, "a": None, "b": True, "c": [1, {"d": "x"}], "n": -5, "big": 2**63,
        "tiny": 5e-324, "text": "é\n\"\u0001", "": 0, "zero": -0.0})
    yield "commit-bigger-integer", commit(metadata={"tokens": 10**20})
    yield "commit-lineage", commit(lineage=[{"operation": "merge", "parameters": {"w": 0.5}, "inputs": [D]}])
    yield "commit-fewer-members", json.dumps(
        {"version": 1, "tree": D, "parents": [], "time": "2026-11-21", "metadata": {}}).encode()
    yield "time-day", b"2026-11-21"
    yield "time-minute", b"2026-11-21 12:30"
    yield "time-leap", b"2016-12-31T23:59:60Z"
    yield "time-last", b"2261-12-31T23:59:60.999999999Z"
    yield "time-first", b"1678-01-01T00:00:00.000000001Z"
