"""The small texts of stores; the first byte says which kind."""

STORE, REF, FOSSILS, RETIRED, NAME = (bytes([i]) for i in range(5))
D, E = "ab" * 32, "0c" * 32


def seeds():
    yield "store", STORE + b'{"created":"2026-11-21T12:00:00Z","format":"kilter-store","id":"5a","requires":[],"version":1}\n'
    yield "store-newer", STORE + b'{"format":"kilter-store","requires":["x"],"version":2}'
    yield "ref", REF + f"{D}\n".encode()
    yield "ref-longer", REF + f"{D}\n\n".encode()
    yield "fossils", FOSSILS + f'{{"packs":["{D}","{E}"],"sessions":["0123456789abcdef"]}}'.encode()
    yield "fossils-open", FOSSILS + f'{{"packs":["{D}"],"sessions":null}}'.encode()
    yield "fossils-odd", FOSSILS + b'{"packs":[],"sessions":{"a":1}}'
    yield "retired", RETIRED + f'{{"commits":["{E}","{D}","{E}"]}}'.encode()
    yield "name", NAME + b"lr/sweep-1.0+x"
    yield "name-digest", NAME + D.encode()
