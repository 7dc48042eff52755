"""What lies in the golden stores of tests/store/golden, for the seeds of several targets; no recipe itself."""

import base64
import json
from pathlib import Path

GOLDEN = Path(__file__).resolve().parent.parent.parent / "tests" / "store" / "golden"
RAW, TREE, COMMIT = 0, 1, 2


def stores():
    """(name, {path: bytes}) of each."""
    for path in sorted(GOLDEN.glob("*.json")):
        held = json.loads(path.read_text())["store"]
        yield path.stem, {name: base64.b64decode(text) for name, text in held.items()}


def files_named(names, suffix):
    """(file name of a seed, bytes) of every file with this suffix, each content once."""
    seen = set()
    for store, files in stores():
        if store not in names:
            continue
        for number, (path, data) in enumerate(sorted(files.items())):
            if path.endswith(suffix) and data not in seen:
                seen.add(data)
                yield f"{store}-{number}", data


def raw_objects(pack):
    """(kind, plain bytes) of the trees and commits of a pack that are stored raw."""
    if len(pack) < 80 or pack[-16:-8] != b"KILTPEND":
        return
    at, count = (int.from_bytes(pack[i:i + 8], "little") for i in (len(pack) - 64, len(pack) - 56))
    for number in range(min(count, 1000)):
        record = pack[at + 96 * number:at + 96 * (number + 1)]
        if len(record) == 96 and record[80] == RAW and record[81] in (TREE, COMMIT):
            offset, size = int.from_bytes(record[64:72], "little"), int.from_bytes(record[72:76], "little")
            yield record[81], pack[offset:offset + size]
