"""A second reader of stores, made from spec/store.md and spec/store-forms.md alone.

    python independent_reader.py STORE                      references
    python independent_reader.py STORE main FOLDER          the files of a branch, tag or commit

Needs numpy, and libzstd for chunks in that form. It shares no code with Kilter: where both give the
same bytes, the two documents say enough. Every chunk is checked against its name.
"""

import ctypes
import ctypes.util
import datetime
import json
import re
import sys
import zlib
from collections import namedtuple
from pathlib import Path

import numpy as np

from blake3_numpy import blake3


class Damaged(Exception):
    """The store breaks its own rules."""


def require(condition, *message):
    if not condition:
        raise Damaged(" ".join(str(part) for part in message))


class Cursor:
    """Little-endian numbers from bytes, never past their end."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        require(0 <= count <= len(self.data) - self.at, "ends early")
        self.at += count
        return self.data[self.at - count:self.at]

    def uint(self, width):
        return int.from_bytes(self.take(width), "little")

    def varint(self):
        value = 0
        for shift in range(0, 35, 7):
            byte = self.uint(1)
            value |= (byte & 127) << shift
            if byte < 128:
                require(value < 1 << 32, "a varint is too large")
                return value
        raise Damaged("a varint is too long")

    def rest(self):
        return self.take(len(self.data) - self.at)

    def end(self):
        require(self.at == len(self.data), "bytes are left over")


# ---- forms (store-forms.md) ---------------------------------------------------------------------

Element = namedtuple("Element", "width exponent mantissa rotation")
ELEMENTS = (Element(1, 0, 0, 0), Element(2, 8, 7, 2), Element(2, 5, 10, 1), Element(4, 8, 23, 2),
            Element(8, 11, 52, 5), Element(1, 4, 3, 0), Element(1, 5, 2, 0), Element(2, 0, 0, 0),
            Element(4, 0, 0, 0), Element(8, 0, 0, 0))
BYTES, F32 = 0, 3
SEGMENT = 128


def unsigned(width):
    return np.dtype(f"<u{width}")


def read_coded(cursor, contexts, context_count):
    """Coded symbols; `contexts` is an array with the context of each."""
    frequency = np.zeros((context_count, 256), np.int64)
    for c in range(context_count):
        first, last = cursor.uint(1), cursor.uint(1)
        if first > last:
            require((first, last) == (1, 0), "an absent context is not written 1, 0")
            frequency[c, 0] = 4096
            continue
        for symbol in range(first, last + 1):
            frequency[c, symbol] = cursor.varint()
        require(frequency[c].sum() == 4096, "frequencies do not add up to 4096")
    start = np.cumsum(frequency, axis=1) - frequency
    symbol_at = np.stack([np.repeat(np.arange(256), row) for row in frequency])
    count = len(contexts)
    lanes = 4 if count < 32768 else 64
    word_count = cursor.uint(4)
    state = np.frombuffer(cursor.take(4 * lanes), "<u4").astype(np.int64)
    words = np.frombuffer(cursor.take(2 * word_count), "<u2").astype(np.int64)
    out, used = np.empty(count, np.uint8), 0
    for i in range(0, count, lanes):
        c = contexts[i:i + lanes]
        x = state[:len(c)]
        slot = x & 4095
        symbol = symbol_at[c, slot]
        out[i:i + lanes] = symbol
        x = (frequency[c, symbol] * (x >> 12) + slot - start[c, symbol]) & 0xFFFFFFFF
        low = np.flatnonzero(x < 65536)
        require(used + len(low) <= word_count, "words end early")
        x[low] = x[low] << 16 | words[used:used + len(low)]
        used += len(low)
        state[:len(c)] = x
    require(used == word_count and (state == 65536).all(), "coded symbols do not end where they should")
    return out


def read_gaps(cursor, count, limit):
    """Indices below `limit`, ascending."""
    indices, at = [], -1
    for _ in range(count):
        at += 1 + cursor.varint()
        require(at < limit, "an index lies beyond its run")
        indices.append(at)
    return indices


def read_plane(cursor, count):
    mode = cursor.uint(1)
    if mode == 0:
        return np.frombuffer(cursor.take(count), np.uint8)
    if mode == 1:
        return np.full(count, cursor.uint(1), np.uint8)
    if mode == 2:
        return read_coded(cursor, np.zeros(count, np.int64), 1)
    require(mode == 3, "unknown mode of a plane:", mode)
    low, exceptions = cursor.uint(1), cursor.uint(4)
    require(low <= 1 and exceptions <= count, "sevens are wrong")
    odd = read_gaps(cursor, exceptions, count)
    bits = np.unpackbits(np.frombuffer(cursor.take((7 * count + 7) // 8), np.uint8), bitorder="little")
    require(not bits[7 * count:].any(), "bits left over are not 0")
    whole = np.full((count, 8), low, np.uint8)
    whole[:, 1:] = bits[:7 * count].reshape(count, 7)
    whole[odd, 0] ^= 1
    return np.packbits(whole, axis=1, bitorder="little").ravel()


def decode_zstd(payload, size):
    name = ctypes.util.find_library("zstd") or "libzstd.so.1"
    library = ctypes.CDLL(name)
    library.ZSTD_getFrameContentSize.restype = ctypes.c_ulonglong
    library.ZSTD_findFrameCompressedSize.restype = ctypes.c_size_t
    library.ZSTD_decompress.restype = ctypes.c_size_t
    bytes_of = ctypes.c_size_t(len(payload))
    require(library.ZSTD_getFrameContentSize(payload, bytes_of) == size
            and library.ZSTD_findFrameCompressedSize(payload, bytes_of) == len(payload),
            "no single zstd frame of the chunk's size")
    out = ctypes.create_string_buffer(max(size, 1))
    got = library.ZSTD_decompress(out, ctypes.c_size_t(size), payload, bytes_of)
    require(got == size, "the zstd frame does not decode")
    return out.raw[:size]


def read_layout(cursor):
    require(cursor.uint(1) == 1, "unknown layout")


def decode_exponent(payload, element, size):
    shape, cursor = ELEMENTS[element], Cursor(payload)
    width, count = shape.width, size // shape.width
    segments = -(-count // SEGMENT)
    read_layout(cursor)
    flags = np.unpackbits(read_plane(cursor, (segments + 7) // 8), bitorder="little")[:segments]
    kept = np.repeat(flags.astype(bool), SEGMENT)[:count]
    kept_count = int(kept.sum())
    dtype = unsigned(width)
    value = np.zeros(kept_count, dtype)
    for plane in range(width):
        value |= read_plane(cursor, kept_count).astype(dtype) << dtype.type(8 * plane)
    if shape.rotation:
        r = shape.rotation
        value = (value >> dtype.type(r)) | (value << dtype.type(8 * width - r))
    elements = np.zeros(count, dtype)
    elements[kept] = value
    tail = cursor.take(size % width)
    cursor.end()
    return elements.tobytes() + tail


def ordered(x, element):
    shape = ELEMENTS[element]
    if shape.exponent == 0:
        return x
    sign = x.dtype.type(1 << (8 * shape.width - 1))
    return np.where(x & sign, ~x, x ^ sign)


def unordered(o, element):
    shape = ELEMENTS[element]
    if shape.exponent == 0:
        return o
    sign = o.dtype.type(1 << (8 * shape.width - 1))
    return np.where(o & sign, o ^ sign, ~o)


def exponent_field(x, element):
    shape = ELEMENTS[element]
    if shape.exponent == 0:
        return np.zeros(len(x), np.int64)
    return (x.astype(np.uint64) >> np.uint64(shape.mantissa)).astype(np.int64) & ((1 << shape.exponent) - 1)


def scaled_base(base, repeats, scale_bits):
    if repeats == 0:
        return base
    field = scale_bits >> 23
    require(111 <= field < 143, "the scale is out of range")
    require(repeats * (127 - field if field < 127 else field - 126) <= 16, "the scale could leave normal numbers")
    exponent = exponent_field(base, F32)
    value = base.view(np.float32).copy()
    scale = np.uint32(scale_bits).view(np.float32)
    with np.errstate(all="ignore"):
        for _ in range(repeats):
            value = (value * scale).astype(np.float32)
    return np.where((exponent < 24) | (exponent > 230), base, value.view(np.uint32))


def decode_delta(payload, element, size, base_element, base_plain):
    require(element != BYTES and base_element == element and len(base_plain) == size, "the base does not suit")
    cursor, width = Cursor(payload), ELEMENTS[element].width
    count, dtype = size // width, unsigned(ELEMENTS[element].width)
    read_layout(cursor)
    repeats, scale_bits = cursor.uint(1), cursor.uint(4)
    lowest = int.from_bytes(cursor.take(2), "little", signed=True)
    require(repeats <= 16 and (repeats == 0 or element == F32), "repeats are wrong")
    require(repeats > 0 or scale_bits == 0, "a scale without repeats")
    segments = read_plane(cursor, -(-count // SEGMENT)).astype(np.int64)
    base = np.frombuffer(base_plain, dtype, count)
    per_element = np.repeat(segments, SEGMENT)[:count]
    scaled, level = (per_element & 1).astype(bool), per_element >> 1
    prediction = np.where(scaled, scaled_base(base, repeats, scale_bits), base) if repeats else base
    coded = np.flatnonzero(level > 0)
    contexts = np.clip(lowest + level[coded] - 1 - exponent_field(base[coded], element), 0, 15)
    symbols = read_coded(cursor, contexts, 16).astype(np.int64)
    low_count = np.where(symbols >= 3, (symbols - 3) >> 2, 0)
    require((low_count < 8 * width - 1).all() or len(symbols) == 0, "a difference is too large")
    end = np.cumsum(low_count)
    total = int(end[-1]) if len(end) else 0
    bits = np.unpackbits(np.frombuffer(cursor.take((total + 7) // 8), np.uint8), bitorder="little")
    require(not bits[total:].any(), "bits left over are not 0")
    low = np.zeros(len(symbols), np.uint64)
    for b in range(int(low_count.max(initial=0))):
        has = np.flatnonzero(low_count > b)
        low[has] |= bits[(end - low_count)[has] + b].astype(np.uint64) << np.uint64(b)
    top = (2 + ((symbols - 3) >> 1 & 1)).astype(np.uint64) << np.maximum(low_count, 0).astype(np.uint64)
    size_of = np.where(symbols >= 3, top | low, np.minimum(symbols, 1).astype(np.uint64))
    negative = np.where(symbols >= 3, (symbols - 3) & 1, symbols == 2).astype(bool)
    with np.errstate(over="ignore"):
        difference = np.where(negative, ~size_of + np.uint64(1), size_of).astype(dtype)
        out = prediction.copy()
        out[coded] = unordered(ordered(prediction[coded], element) + difference, element)
    tail = cursor.take(size % width)
    cursor.end()
    return out.astype(dtype).tobytes() + tail


def round_f32(bits, element):
    """The elements of these float32 bits, rounded to nearest, ties to even."""
    value = bits.view(np.float32)
    nan = np.isnan(value)
    sign = (bits >> np.uint32(31)).astype(np.uint32)
    if element == 1:
        lower = bits & np.uint32(0x7FFFFFFF)
        out = (lower + np.uint32(0x7FFF) + (lower >> np.uint32(16) & np.uint32(1))) >> np.uint32(16)
        out = np.where(nan, np.uint32(0x7FC0), out) | sign << np.uint32(15)
    elif element == 2:
        with np.errstate(over="ignore", invalid="ignore"):
            out = np.abs(value).astype(np.float16).view(np.uint16).astype(np.uint32)
        out = np.where(nan, np.uint32(0x7E00), out) | sign << np.uint32(15)
    else:
        shape = ELEMENTS[element]
        bias = (1 << (shape.exponent - 1)) - 1
        code = np.arange(128)
        e, m = code >> shape.mantissa, code & ((1 << shape.mantissa) - 1)
        known = np.where(e == 0, m * 2.0 ** (1 - bias - shape.mantissa),
                         (1 + m / (1 << shape.mantissa)) * 2.0 ** (e - bias))
        # What lies behind the largest finite value counts as one more step.
        over = 127 if element == 5 else 124
        size_of = np.minimum(np.abs(np.where(nan, np.float32(0), value)).astype(np.float64), known[over])
        above = np.clip(np.searchsorted(known[:over + 1], size_of), 1, over)
        below = above - 1
        up, down = known[above] - size_of, size_of - known[below]
        out = np.where((up < down) | ((up == down) & (above % 2 == 0)), above, below).astype(np.uint32)
        out = np.where(nan, np.uint32(0x7F if element == 5 else 0x7E), out) | sign << np.uint32(7)
    return out.astype(unsigned(ELEMENTS[element].width))


def decode_cast(payload, element, size, base_element, base_plain):
    width = ELEMENTS[element].width
    require(element in (1, 2, 5, 6) and base_element == F32 and size % width == 0
            and len(base_plain) == 4 * (size // width), "the base does not suit")
    cursor = Cursor(payload)
    read_layout(cursor)
    out = round_f32(np.frombuffer(base_plain, "<u4").astype(np.uint32), element)
    at = -1
    for _ in range(cursor.uint(4)):
        at += 1 + cursor.varint()
        require(at < len(out), "an index lies beyond its run")
        out[at] = cursor.uint(width)
    cursor.end()
    return out.tobytes()


def decode_form(form, payload, element, size, base=None):
    """`base`: (element, plain bytes)."""
    if form == 0:
        return payload
    if form == 1:
        return decode_zstd(payload, size)
    if form == 2:
        return decode_exponent(payload, element, size)
    return (decode_delta if form == 3 else decode_cast)(payload, element, size, *base)


# ---- the store (store.md) -----------------------------------------------------------------------

Record = namedtuple("Record", "digest base offset stored_bytes bytes form kind element depth checksum tried")
Place = namedtuple("Place", "record pack")
IndexFile = namedtuple("IndexFile", "packs chunks commits superseded")
BYTES_MAX = (16 << 20, 256 << 20, 64 << 20)
DATA, TREE, COMMIT = 0, 1, 2


def read_record(cursor):
    record = Record(cursor.take(32), cursor.take(32), *(cursor.uint(w) for w in (8, 4, 4, 1, 1, 1, 1, 4, 4)))
    cursor.uint(4)
    require(record.form <= 4, "a form that is not known:", record.form)
    require(record.kind <= 2 and record.element <= 9, "a kind or element that is none")
    require(record.bytes <= BYTES_MAX[record.kind], "a chunk is too large")
    require(record.stored_bytes <= record.bytes, "stored in more bytes than it has")
    require(record.form != 0 or record.stored_bytes == record.bytes, "a raw chunk of another size")
    require(record.depth <= 16 and (record.depth > 0) == (record.form >= 3), "a depth that does not fit")
    return record


def parse_json(text):
    def members(pairs):
        names = [name for name, _ in pairs]
        require(len(set(names)) == len(names), "a member occurs twice")
        return dict(pairs)
    try:
        return json.loads(bytes(text).decode(), object_pairs_hook=members)
    except ValueError as error:
        raise Damaged(f"no JSON: {error}") from None


def integer(value, most):
    require(isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most,
            "no number up to", most, ":", value)
    return value


def digest_of(text):
    require(isinstance(text, str) and len(text) == 64 and not set(text) - set("0123456789abcdef"), "no digest:", text)
    return bytes.fromhex(text)


DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {
    name + digit for name in ("com", "lpt") for digit in "0123456789¹²³"}


def check_path(path):
    raw = path.encode()
    require(path and len(raw) <= 4095 and path[0] != "/" and "\\" not in path, "a path is unsafe:", path)
    require(not any(ord(c) < 32 or ord(c) == 127 for c in path), "a path has control characters")
    require(not (len(path) > 1 and path[1] == ":" and path[0].isascii() and path[0].isalpha()), "a drive:", path)
    for part in path.split("/"):
        stem = part.replace(":", ".").split(".")[0].rstrip(" ").lower()
        require(part and part[-1] not in ". " and len(part.encode()) <= 255 and stem not in DEVICES,
                "a path is unsafe:", path)


DTYPE = (r"bool|bf16|f16|f32|f64|b?c32|c64|c128|f8_e4m3fn(uz)?|f8_e5m2(fnuz)?|f8_e8m0fnu|f6_e2m3|f6_e3m2|f4_e2m1"
         r"|[iu]([1-8]|16|32|64)|q[iu]8|qi32|qu4x2|qu2x4|v2|bits(8|16|1x8|2x4|4x2)")


def check_tree(tree):
    require(integer(tree["version"], 1 << 64) == 1, "a tree of another version")
    files, tensors, skeleton = tree["files"], tree["tensors"], tree["skeleton"]
    paths = [file["path"] for file in files]
    for path in paths:
        check_path(path)
    require(all(a.encode() < b.encode() for a, b in zip(paths, paths[1:])), "files are not in order")
    folders = {path[:i] for path in paths for i, c in enumerate(path) if c == "/"}
    require(not folders & set(paths), "a path is a file and a folder")
    require(tree["root"] != "file" or len(files) == 1, "a single file that is not one")
    end = (0, 0)
    for tensor in tensors:
        file, offset = integer(tensor["at"][0], len(files) - 1), integer(tensor["at"][1], 1 << 60)
        size, piece = integer(tensor["bytes"], 1 << 60), integer(tensor["piece"], 16 << 20)
        require((file, offset) >= end, "tensors overlap or are not in order")
        require(size >= 1 and offset + size <= files[file]["bytes"], "a tensor reaches past its file")
        require(piece >= 1 and len(tensor["chunks"]) == -(-size // piece), "another number of chunks")
        require(len(tensor["shape"]) <= 64, "too many dimensions")
        require(re.fullmatch(DTYPE, tensor["dtype"]), "no dtype:", tensor["dtype"])
        end = (file, offset + size)
    for _, size in skeleton:
        require(1 <= integer(size, 16 << 20), "an empty skeleton chunk")
    require(sum(integer(f["bytes"], 1 << 60) for f in files)
            == sum(t["bytes"] for t in tensors) + sum(size for _, size in skeleton), "bytes do not add up")


class Store:
    def __init__(self, path):
        self.path = Path(path)
        about = parse_json((self.path / "kilter-store.json").read_bytes())
        require(about["format"] == "kilter-store" and about["version"] == 1, "no store of version 1")
        require(not about.get("requires"), "the store needs", about.get("requires"))
        self.index = self._read_index()
        self.places = {}
        for file in self.index.values():
            for place in file.chunks:
                self.places.setdefault(place.record.digest, []).append(place)

    # -- files

    def _read_index(self):
        files = {}
        for path in sorted((self.path / "index").glob("*.idx")):
            if len(path.stem) == 64 and not set(path.stem) - set("0123456789abcdef"):
                name = bytes.fromhex(path.stem)
                files[name] = self.parse_index(path.read_bytes(), name)
        superseded = {name for file in files.values() for name in file.superseded}
        return {name: file for name, file in files.items() if name not in superseded}

    @staticmethod
    def parse_index(data, name):
        cursor = Cursor(data)
        require(cursor.take(8) == b"KILTINDX" and cursor.uint(4) == 1, "no index of version 1")
        cursor.uint(4)
        sections = [(cursor.uint(8), cursor.uint(8)) for _ in range(5)]
        require(cursor.take(32) == blake3(data[128:]) and blake3(data) == name, "the index does not match its name")

        def section(number, size):
            offset, count = sections[number]
            require(offset >= 128 and offset + count * size <= len(data), "a section lies outside")
            return [Cursor(data[offset + i * size:offset + (i + 1) * size]) for i in range(count)] if size > 1 \
                else data[offset:offset + count]

        packs = [(c.take(32), c.uint(8), c.uint(4)) for c in section(0, 48)]
        chunks = []
        for entry in section(1, 104):
            record, number = read_record(entry), entry.uint(4)
            require(number < len(packs), "a pack that is not there")
            chunks.append(Place(record, packs[number][0]))
        heap = section(4, 1)
        commits = []
        for entry in section(2, 56):
            digest, time, at, size = entry.take(32), entry.uint(8), entry.uint(8), entry.uint(8)
            require(at + size <= len(heap), "a commit lies outside")
            commits.append((digest, time - (1 << 64) if time >> 63 else time, heap[at:at + size]))
        return IndexFile(packs, chunks, commits, [c.take(32) for c in section(3, 32)])

    def pack_path(self, name):
        return self.path / "packs" / name.hex()[:2] / f"{name.hex()}.pack"

    def read_directory(self, name):
        """The records of a pack, from itself."""
        data = self.pack_path(name).read_bytes()
        require(len(data) >= 80 and data[:12] == b"KILTPACK\1\0\0\0", "no pack")
        end = Cursor(data[-64:])
        offset, count, digest = end.uint(8), end.uint(8), end.take(32)
        require(end.take(12) == b"KILTPEND\1\0\0\0", "the pack has no end")
        require(offset % 64 == 0 and offset + 96 * count <= len(data) - 64, "the directory lies outside")
        records = data[offset:offset + 96 * count]
        require(digest == blake3(records) == name, "the directory does not match the pack's name")
        return [read_record(Cursor(records[96 * i:96 * i + 96])) for i in range(count)]

    def refs(self):
        out = {}
        for kind in ("heads", "tags"):
            folder = self.path / "refs" / kind
            for path in sorted(folder.rglob("*")):
                if path.is_file() and not path.name.startswith("."):
                    text = path.read_bytes().decode("latin-1")
                    require(text.endswith("\n"), "a reference without a line feed")
                    out[kind, str(path.relative_to(folder))] = digest_of(text[:-1])
        return out

    def retired(self):
        return {digest_of(commit) for path in (self.path / "retired").glob("*.json")
                for commit in parse_json(path.read_bytes())["commits"]}

    # -- objects

    def read_place(self, place):
        record, pack = place
        base_element, base = BYTES, None
        if record.form >= 3:
            below = [p for p in self.places.get(record.base, []) if p.record.depth < record.depth]
            require(below, "what a chunk leans on is missing:", record.base.hex())
            wanted = 3 if record.form == 4 else record.element  # a cast leans on float32, a delta on its like
            base_element, base = self.first_sound(sorted(below, key=lambda p: p.record.element != wanted))
        with self.pack_path(pack).open("rb") as file:
            file.seek(record.offset)
            payload = file.read(record.stored_bytes)
        require(len(payload) == record.stored_bytes, "the pack ends before the chunk does")
        require(record.form == 0 or zlib.crc32(payload) == record.checksum, "a checksum is wrong")
        plain = decode_form(record.form, payload, record.element, record.bytes, (base_element, base))
        require(blake3(plain) == record.digest, "a chunk does not match its name:", record.digest.hex())
        return plain

    def first_sound(self, places):
        """(element, plain bytes), from the first place that is not damaged."""
        for number, place in enumerate(places):
            try:
                return place.record.element, self.read_place(place)
            except (Damaged, OSError):
                if number + 1 == len(places):
                    raise
        raise Damaged("no place")

    def read_chunk(self, digest):
        places = self.places.get(digest, [])
        require(places, "no chunk", digest.hex())
        return self.first_sound(sorted(places, key=lambda p: p.record.depth))[1]

    def find_commit(self, name):
        refs = self.refs()
        return refs.get(("heads", name)) or refs.get(("tags", name)) or digest_of(name)

    def read_commit(self, digest):
        commit = parse_json(self.read_chunk(digest))
        require(integer(commit["version"], 1 << 64) == 1, "a commit of another version")
        digest_of(commit["tree"])
        require(len([digest_of(parent) for parent in commit["parents"]]) <= 1000, "too many parents")
        require(isinstance(commit["metadata"], dict), "metadata is no object")
        try:
            datetime.date.fromisoformat(commit["time"][:10])
        except ValueError:
            raise Damaged("a time that is none") from None
        return commit

    def read_tree(self, digest):
        tree = parse_json(self.read_chunk(digest))
        try:
            check_tree(tree)
        except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
            raise Damaged(f"the tree lacks something: {error!r}") from None
        return tree

    def history(self):
        """Every commit, by time: (digest, JSON)."""
        commits = {digest: (time, text) for file in self.index.values() for digest, time, text in file.commits}
        return [(digest, parse_json(text))
                for digest, (time, text) in sorted(commits.items(), key=lambda item: (item[1][0], item[0]))]

    def files(self, commit):
        """{path: bytes} of a commit."""
        require(commit not in self.retired(), "the commit's data was given up")
        tree = self.read_tree(digest_of(self.read_commit(commit)["tree"]))

        def chunk(digest, size):
            plain = self.read_chunk(digest_of(digest))
            require(len(plain) == size, "a chunk is not as long as its tree says")
            return plain

        skeleton = b"".join(chunk(digest, size) for digest, size in tree["skeleton"])
        out, used, tensors = {}, 0, list(tree["tensors"])
        for number, file in enumerate(tree["files"]):
            content = b""
            while tensors and tensors[0]["at"][0] == number:
                tensor = tensors.pop(0)
                gap = tensor["at"][1] - len(content)
                content += skeleton[used:used + gap]
                used += gap
                size, piece = tensor["bytes"], tensor["piece"]
                content += b"".join(chunk(digest, min(piece, size - i * piece))
                                    for i, digest in enumerate(tensor["chunks"]))
            gap = file["bytes"] - len(content)
            out[file["path"]] = content + skeleton[used:used + gap]
            used += gap
        return out


def main(arguments):
    store = Store(arguments[0])
    if len(arguments) == 1:
        commits = {digest: commit for digest, commit in store.history()}
        for (kind, name), digest in store.refs().items():
            print(f"{kind:6} {digest.hex()}  {name}  {json.dumps(commits.get(digest, {}).get('metadata'))}")
        return
    target = Path(arguments[2])
    for path, content in store.files(store.find_commit(arguments[1])).items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_bytes(content)


if __name__ == "__main__":
    main(sys.argv[1:])
