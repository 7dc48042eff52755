#!/usr/bin/env python3
"""Writes the seed inputs of the fuzz targets into fuzz/corpus/<name>/.

Usage: make_seeds.py [NAME...]        (all by default)

Each fuzz/seeds/<name>_seeds.py has a function seeds() that yields pairs of a
file name and its bytes. Python's standard library is enough to run them. Seeds
are tracked in git, so this runs only when a recipe changes; inputs that once
broke a parser are added to the corpus by hand and are not touched here.
"""

import importlib.util
import sys
from pathlib import Path

FUZZ = Path(__file__).resolve().parent


def write_seeds(recipe):
    name = recipe.stem.removesuffix("_seeds")
    spec = importlib.util.spec_from_file_location(recipe.stem, recipe)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = FUZZ / "corpus" / name
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for file_name, data in module.seeds():
        (folder / file_name).write_bytes(data)
        count += 1
    print(f"{name}: {count} seed(s)")
    return count


def main(names):
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(FUZZ / "seeds"))
    recipes = sorted((FUZZ / "seeds").glob("*_seeds.py"))
    known = {r.stem.removesuffix("_seeds"): r for r in recipes}
    unknown = [n for n in names if n not in known]
    if unknown:
        print(f"no recipe for: {', '.join(unknown)}", file=sys.stderr)
        return 2
    empty = [n for n in (names or known) if write_seeds(known[n]) == 0]
    return 1 if empty else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
