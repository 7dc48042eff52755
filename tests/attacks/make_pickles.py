#!/usr/bin/env python3
"""Writes pickles that would do harm if they were loaded, and harmless ones beside them.

Usage: make_pickles.py FOLDER

Nothing here is ever loaded: opcodes are put together byte by byte. Every command in
them is `echo kilter-test`, in case somebody does load one. Only Python's standard
library is needed, and the same bytes come out on every run.

FOLDER/manifest.tsv has one row a file: path, "harmful" or "harmless", what it tries.
The files cover: known gadgets under every protocol and call opcode; names in disguise;
memo, frame and stream tricks; attributes rewritten by BUILD; and the same payloads in
zip, tar, legacy torch files, npy, npz, nested archives and wrong extensions.
"""

import io
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

import harmless
import payloads
import wrappings


def samples():
    """Yields (path, label, what, bytes)."""
    for name, what, data in payloads.harmful():
        yield f"bare/{name}.pkl", "harmful", what, data
    for name, what, data in wrappings.harmful():
        yield f"wrapped/{name}", "harmful", what, data
    for name, what, data in harmless.bare():
        yield f"harmless/{name}.pkl", "harmless", what, data
    for name, what, data in harmless.wrapped():
        yield f"harmless/{name}", "harmless", what, data


def write(folder):
    rows = io.StringIO()
    counts = {"harmful": 0, "harmless": 0}
    taken = set()
    for path, label, what, data in samples():
        if path in taken:
            raise ValueError(f"two samples are called {path}")
        taken.add(path)
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        rows.write(f"{path}\t{label}\t{what}\n")
        counts[label] += 1
    (folder / "manifest.tsv").write_text(rows.getvalue(), encoding="utf-8")
    return counts


def main(arguments):
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    counts = write(Path(arguments[0]))
    print(f"{counts['harmful']} harmful, {counts['harmless']} harmless")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
