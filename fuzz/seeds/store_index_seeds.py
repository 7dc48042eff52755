"""Index files of the golden stores, sound and spoiled."""

from golden_stores import files_named


def seeds():
    yield from files_named(("good-raw", "good-forms", "good-superseded", "good-second-place", "bad-index-section",
                            "bad-index-cut", "bad-index-version"), ".idx")
    yield "empty", b"KILTINDX" + bytes([1, 0, 0, 0]) + bytes(4) + bytes([128] + [0] * 15) * 5 + bytes(32)
