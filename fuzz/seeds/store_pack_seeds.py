"""Packs of the golden stores, sound and spoiled, and one record."""

from golden_stores import files_named, stores


def seeds():
    yield from files_named(("good-raw", "good-forms", "bad-depth", "bad-layout", "bad-kind", "bad-pack-cut"), ".pack")
    pack = next(data for path, data in dict(stores())["good-raw"].items() if path.endswith(".pack"))
    directory = int.from_bytes(pack[-64:-56], "little")
    yield "record", pack[directory:directory + 96]
    yield "empty", pack[:16] + bytes(48) + (64).to_bytes(8, "little") + bytes(40) + pack[-16:]
