"""BLAKE3 in numpy: all chunks of a message side by side, so that megabytes take a moment.

Written from the BLAKE3 paper (O'Connor, Aumasson, Neves, Wilcox-O'Hearn, 2020), section 2; checked
against its published test vectors in test_independent_reader.py. Hash mode only.
"""

import numpy as np

_IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
_PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
_CHUNK_START, _CHUNK_END, _PARENT, _ROOT = 1, 2, 4, 8
_MIX = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
        (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))


def _rotate(x, bits):
    return (x >> np.uint32(bits)) | (x << np.uint32(32 - bits))


def _compress(cv, words, counter, length, flags):
    """cv: 8 and words: 16 arrays of equal length; the others arrays or numbers. 16 arrays."""
    count = len(cv[0])

    def column(value):
        return np.broadcast_to(np.asarray(value, np.uint64).astype(np.uint32), (count,)).copy()

    counter = np.asarray(counter, np.uint64)
    v = [x.copy() for x in cv] + [column(x) for x in _IV[:4]]
    v += [column(counter & np.uint64(0xFFFFFFFF)), column(counter >> np.uint64(32)), column(length),
          column(flags)]
    m = list(words)
    for turn in range(7):
        for i, (a, b, c, d) in enumerate(_MIX):
            v[a] += v[b]
            v[a] += m[2 * i]
            v[d] = _rotate(v[d] ^ v[a], 16)
            v[c] += v[d]
            v[b] = _rotate(v[b] ^ v[c], 12)
            v[a] += v[b]
            v[a] += m[2 * i + 1]
            v[d] = _rotate(v[d] ^ v[a], 8)
            v[c] += v[d]
            v[b] = _rotate(v[b] ^ v[c], 7)
        if turn < 6:
            m = [m[p] for p in _PERMUTATION]
    return [v[i] ^ v[i + 8] for i in range(8)] + [v[i + 8] ^ cv[i] for i in range(8)]


def _start(count):
    return [np.full(count, x, np.uint32) for x in _IV]


def _words(blocks):
    """Rows of 64 bytes as 16 arrays."""
    return list(np.ascontiguousarray(blocks).view("<u4").astype(np.uint32).T)


def _chunk(data, number):
    """One chunk up to its last block: what compressing that block needs."""
    cv = _start(1)
    blocks = max(1, -(-len(data) // 64))
    for i in range(blocks):
        block = data[64 * i:64 * i + 64]
        flags = (_CHUNK_START if i == 0 else 0) | (_CHUNK_END if i == blocks - 1 else 0)
        words = _words(np.frombuffer(block.ljust(64, b"\0"), np.uint8).reshape(1, 64))
        if i == blocks - 1:
            return cv, words, number, len(block), flags
        cv = _compress(cv, words, number, len(block), flags)[:8]


def _root(data):
    """The node whose compression with the flag ROOT is the output."""
    if len(data) <= 1024:
        return _chunk(data, 0)
    whole = (len(data) - 1) // 1024
    last = _compress(*_chunk(data[1024 * whole:], whole))[:8]
    blocks = np.frombuffer(data, np.uint8, 1024 * whole).reshape(whole, 16, 64)
    numbers = np.arange(whole, dtype=np.uint64)
    cv = _start(whole)
    for i in range(16):
        flags = (_CHUNK_START if i == 0 else 0) | (_CHUNK_END if i == 15 else 0)
        cv = _compress(cv, _words(blocks[:, i]), numbers, 64, flags)[:8]
    row = np.stack([np.concatenate(pair) for pair in zip(cv, last)])
    # Neighbours join; an odd one at the end waits for the next row. That is BLAKE3's tree.
    while row.shape[1] > 2:
        pairs = row.shape[1] // 2
        words = list(row[:, 0:2 * pairs:2]) + list(row[:, 1:2 * pairs:2])
        joined = np.stack(_compress(_start(pairs), words, 0, 64, _PARENT)[:8])
        row = np.concatenate([joined, row[:, 2 * pairs:]], axis=1)
    return _start(1), [x[:1].copy() for x in row] + [x[1:].copy() for x in row], 0, 64, _PARENT


def blake3(data, length=32):
    """`length` bytes of output."""
    cv, words, _, block_bytes, flags = _root(bytes(data))
    out = b""
    while len(out) < length:
        block = _compress(cv, words, len(out) // 64, block_bytes, flags | _ROOT)
        out += np.stack(block).T.astype("<u4").tobytes()
    return out[:length]
