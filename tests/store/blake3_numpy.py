"""BLAKE3 in numpy: all chunks of a message side by side, so that megabytes take a moment.

Written from the BLAKE3 paper (O'Connor, Aumasson, Neves, Wilcox-O'Hearn, 2020), section 2; checked
against its published test vectors in test_independent_reader.py. Hash mode only.
"""

import struct

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


def _compress_one(cv, words, counter, length, flags):
    """The same for one block, in whole numbers: many messages are short."""
    v = [*cv, *_IV[:4], counter & 0xFFFFFFFF, counter >> 32, length, flags]
    m = list(words)
    for turn in range(7):
        for i, (a, b, c, d) in enumerate(_MIX):
            for word, down, across in ((m[2 * i], 16, 12), (m[2 * i + 1], 8, 7)):
                v[a] = v[a] + v[b] + word & 0xFFFFFFFF
                x = v[d] ^ v[a]
                v[d] = (x >> down | x << 32 - down) & 0xFFFFFFFF
                v[c] = v[c] + v[d] & 0xFFFFFFFF
                x = v[b] ^ v[c]
                v[b] = (x >> across | x << 32 - across) & 0xFFFFFFFF
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
    cv = list(_IV)
    last = max(0, (len(data) - 1) // 64)
    for i in range(last + 1):
        block = data[64 * i:64 * i + 64]
        flags = (_CHUNK_START if i == 0 else 0) | (_CHUNK_END if i == last else 0)
        words = struct.unpack("<16I", block.ljust(64, b"\0"))
        if i == last:
            return cv, words, number, len(block), flags
        cv = _compress_one(cv, words, number, 64, flags)[:8]


def _root(data):
    """The node whose compression with the flag ROOT is the output."""
    if len(data) <= 1024:
        return _chunk(data, 0)
    whole = (len(data) - 1) // 1024
    last = np.array(_compress_one(*_chunk(data[1024 * whole:], whole))[:8], np.uint32).reshape(8, 1)
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
    return list(_IV), [int(x) for x in row[:, 0]] + [int(x) for x in row[:, 1]], 0, 64, _PARENT


def blake3(data, length=32):
    """`length` bytes of output."""
    cv, words, _, block_bytes, flags = _root(bytes(data))
    out = b""
    while len(out) < length:
        out += struct.pack("<16I", *_compress_one(cv, words, len(out) // 64, block_bytes, flags | _ROOT))
    return out[:length]
