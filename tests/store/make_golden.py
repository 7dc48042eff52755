"""Makes the golden stores, from spec/store.md and spec/store-forms.md alone.

    python make_golden.py            writes golden/*.json
    python make_golden.py --check    fails where they differ from what is written there

Each file is one store and what a reader must make of it:

    {"about": "...", "store": {path: bytes}, "restore": {path: bytes}}             accepted
    {"about": "...", "store": {path: bytes}, "verb": [...], "status": 3, "says": [...]}    refused

Bytes are base64; verb is what follows `kilter`, with STORE in place of the store and OUT of an output
that does not exist; says are texts that the message must hold, in any order.
"""

import base64
import json
import struct
import sys
import zlib
from pathlib import Path

from blake3_numpy import blake3

FOLDER = Path(__file__).parent / "golden"
RAW, ZSTD, EXPONENT, DELTA, CAST = range(5)
DATA, TREE, COMMIT = range(3)
TIME = "2026-11-21T12:00:00.000000000Z"
TIME_NS = 1795262400 * 10**9


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def name_of(data):
    return blake3(data).hex()


# ---- forms --------------------------------------------------------------------------------------

def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def coded(symbols, contexts=None, context_count=1):
    """Coded symbols; frequencies in proportion to the counts, whatever is left goes to the most common."""
    contexts = contexts or [0] * len(symbols)
    tables, out = [], b""
    for c in range(context_count):
        mine = [s for s, k in zip(symbols, contexts) if k == c]
        if not mine:
            out += b"\1\0"
            tables.append({})
            continue
        frequency = {s: max(1, 4096 * mine.count(s) // len(mine)) for s in set(mine)}
        most = max(sorted(frequency), key=lambda s: frequency[s])
        frequency[most] += 4096 - sum(frequency.values())
        first, last = min(frequency), max(frequency)
        out += bytes([first, last]) + b"".join(varint(frequency.get(s, 0)) for s in range(first, last + 1))
        starts, at = {}, 0
        for s in sorted(frequency):
            starts[s] = (frequency[s], at)
            at += frequency[s]
        tables.append(starts)
    lanes = 4 if len(symbols) < 32768 else 64
    states, words = [65536] * lanes, []
    for i in range(len(symbols) - 1, -1, -1):
        frequency, start = tables[contexts[i]][symbols[i]]
        x = states[i % lanes]
        if x >> 20 >= frequency:
            words.insert(0, x & 0xFFFF)
            x >>= 16
        states[i % lanes] = (x // frequency << 12) + x % frequency + start
    return (out + struct.pack("<I", len(words)) + b"".join(struct.pack("<I", x) for x in states)
            + b"".join(struct.pack("<H", w) for w in words))


def plane(data):
    if data and data == data[:1] * len(data):
        return b"\1" + data[:1]
    shorter = b"\2" + coded(list(data)) if data else b""
    return shorter if shorter and len(shorter) < len(data) else b"\0" + data


def zstd_of_constant(data):
    """A frame that states its content size, with one block of one repeated byte (RFC 8878)."""
    assert data == data[:1] * len(data) and 256 <= len(data) < 65792
    header = b"\x28\xb5\x2f\xfd" + bytes([1 << 6 | 1 << 5]) + struct.pack("<H", len(data) - 256)
    return header + (len(data) << 3 | 1 << 1 | 1).to_bytes(3, "little") + data[:1]


def exponent_form(data, width, rotation):
    elements = [int.from_bytes(data[i:i + width], "little") for i in range(0, len(data) - width + 1, width)]
    segments = [elements[i:i + 128] for i in range(0, len(elements), 128)]
    flags = bytearray((len(segments) + 7) // 8)
    kept = []
    for s, segment in enumerate(segments):
        if any(segment):
            flags[s // 8] |= 1 << s % 8
            kept += segment
    bits = 8 * width
    kept = [(x << rotation | x >> bits - rotation) & (1 << bits) - 1 if rotation else x for x in kept]
    planes = b"".join(plane(bytes(x >> 8 * p & 255 for x in kept)) for p in range(width))
    return b"\1" + plane(bytes(flags)) + planes + data[len(elements) * width:]


def delta_form(data, base, lowest=127, level=1):
    """float32 against float32, the base as prediction."""
    new, old = (struct.unpack(f"<{len(d) // 4}I", d) for d in (data, base))

    def order(x):
        return ~x & 0xFFFFFFFF if x >> 31 else x ^ 0x80000000

    symbols, contexts, bits = [], [], []
    segments = bytearray()
    for at in range(0, len(new), 128):
        changed = new[at:at + 128] != old[at:at + 128]
        segments.append(level << 1 if changed else 0)
        for x, b in zip(new[at:at + 128], old[at:at + 128]) if changed else ():
            d = (order(x) - order(b) + (1 << 31)) % (1 << 32) - (1 << 31)
            size = abs(d)
            if size < 2:
                symbols.append(0 if d == 0 else 1 if d > 0 else 2)
            else:
                low = size.bit_length() - 2
                symbols.append(3 + 4 * low + 2 * (size >> low & 1) + (d < 0))
                bits += [size >> i & 1 for i in range(low)]
            contexts.append(min(15, max(0, lowest + level - 1 - (b >> 23 & 255))))
    packed = bytearray((len(bits) + 7) // 8)
    for i, bit in enumerate(bits):
        packed[i // 8] |= bit << i % 8
    return (b"\1\0" + bytes(4) + struct.pack("<h", lowest) + plane(bytes(segments))
            + coded(symbols, contexts, 16) + bytes(packed))


def cast_form(data, base):
    """bf16 against float32."""
    out, exceptions, last = b"", 0, -1
    for i, (x, f) in enumerate(zip(struct.unpack(f"<{len(data) // 2}H", data),
                                   struct.unpack(f"<{len(base) // 4}I", base))):
        if x != (f + 0x7FFF + (f >> 16 & 1)) >> 16:
            out += varint(i - last - 1) + struct.pack("<H", x)
            exceptions, last = exceptions + 1, i
    return b"\1" + struct.pack("<I", exceptions) + out


# ---- packs, index, references -------------------------------------------------------------------

class Chunk:
    """Plain bytes and how they are stored. Fields of the record may be set to anything."""

    def __init__(self, plain, kind=DATA, form=RAW, payload=None, element=0, base=None, depth=0, **other):
        self.plain, self.payload = plain, plain if payload is None else payload
        self.record = dict(digest=blake3(plain), base=blake3(base) if base else bytes(32), offset=None,
                           stored_bytes=len(self.payload), bytes=len(plain), form=form, kind=kind,
                           element=element, depth=depth, checksum=zlib.crc32(self.payload), tried=0)
        self.record.update(other)

    def packed(self, offset):
        r = dict(self.record)
        r["offset"] = offset if r["offset"] is None else r["offset"]
        return (r["digest"] + r["base"] + struct.pack("<QII4B3I", r["offset"], r["stored_bytes"], r["bytes"],
                                                      r["form"], r["kind"], r["element"], r["depth"],
                                                      r["checksum"], r["tried"], 0))


def pack(chunks):
    """(path, bytes, name, records)."""
    data, records = b"KILTPACK" + struct.pack("<II", 1, 0), []
    for chunk in chunks:
        data += bytes(-len(data) % 64)
        records.append(chunk.packed(len(data)))
        data += chunk.payload
    data += bytes(-len(data) % 64)
    directory = b"".join(records)
    name = blake3(directory)
    end = struct.pack("<QQ", len(data), len(records)) + name + b"KILTPEND" + struct.pack("<II", 1, 0)
    data += directory + bytes(-len(directory) % 64) + end
    return f"packs/{name.hex()[:2]}/{name.hex()}.pack", data, name, records


def index(packs, commits, superseded=()):
    """packs: from pack(); commits: [(time in ns, JSON)]. (path, bytes)."""
    entries = [(record[:32], record[83], number, record)
               for number, (_, _, _, records) in enumerate(packs) for record in records]
    heap = b"".join(text for _, text in commits)
    sections, at = [], 0
    sections.append((len(packs), 48, b"".join(name + struct.pack("<QII", len(data), len(records), 0)
                                              for _, data, name, records in packs)))
    sections.append((len(entries), 104, b"".join(record + struct.pack("<II", number, 0)
                                                 for _, _, number, record in sorted(entries))))
    rows = b""
    for time, text in commits:
        rows += blake3(text) + struct.pack("<qQQ", time, at, len(text))
        at += len(text)
    sections.append((len(commits), 56, rows))
    sections.append((len(superseded), 32, b"".join(sorted(superseded))))
    sections.append((len(heap), 1, heap))
    header, body = b"KILTINDX" + struct.pack("<II", 1, 0), b""
    for count, _, content in sections:
        header += struct.pack("<QQ", 128 + len(body), count)
        body += content
    return seal(header + bytes(32) + body)


def seal(data):
    """An index file under its right name, with the digest of its sections."""
    data = data[:96] + blake3(data[128:]) + data[128:]
    return f"index/{name_of(data)}.idx", data


ABOUT = {"created": TIME, "format": "kilter-store", "id": "0123456789abcdef0123456789abcdef", "requires": [],
         "version": 1}


class Golden:
    """A store with one commit, every part of which can be bent before it is built."""

    def __init__(self, files, tensors=(), root="folder"):
        """files: {path: bytes}; tensors: (path, offset, bytes, dtype, name, shape, piece, chunks or None)."""
        self.files = dict(sorted(files.items(), key=lambda item: item[0].encode()))
        self.about, self.extra, self.chunks, self.more_packs = dict(ABOUT), {}, [], []
        self.replace_index, self.replace_ref, self.bend_pack = None, None, None
        numbers = {path: i for i, path in enumerate(self.files)}
        rows, skeleton = [], b""
        for path, content in self.files.items():
            at = 0
            for name, offset, size, dtype, tensor, shape, piece, chunks in sorted(
                    (t for t in tensors if t[0] == path), key=lambda t: t[1]):
                skeleton += content[at:offset]
                at = offset + size
                pieces = [content[offset + i:min(offset + i + piece, at)] for i in range(0, size, piece)]
                self.chunks += chunks or [Chunk(p) for p in pieces]
                rows.append({"at": [numbers[path], offset], "bytes": size, "chunks": [name_of(p) for p in pieces],
                             "dtype": dtype, "name": tensor, "piece": piece, "shape": shape})
            skeleton += content[at:]
        self.tree = {"files": [{"bytes": len(c), "path": p} for p, c in self.files.items()],
                     "format": "safetensors" if tensors else "", "root": root, "skeleton": [], "tensors": rows,
                     "version": 1}
        half = len(skeleton) // 2
        for part in (skeleton[:half], skeleton[half:]):
            if part:
                self.tree["skeleton"].append([name_of(part), len(part)])
                self.chunks.append(Chunk(part))
        self.commit = {"author": "Ada <ada@example.org>", "kilter": "0.2.0", "lineage": [], "message": "golden",
                       "metadata": {"loss": 1.5, "step": 100}, "parents": [], "time": TIME, "version": 1}
        self.tree_text = self.commit_text = None  # instead of canonical JSON

    def build(self):
        tree = self.tree_text or canonical(self.tree)
        self.commit.setdefault("tree", name_of(tree))
        commit = self.commit_text or canonical(self.commit)
        chunks, seen = [], set()
        for chunk in self.chunks + [Chunk(tree, TREE), Chunk(commit, COMMIT)]:
            if (chunk.record["digest"], chunk.record["form"]) not in seen:
                seen.add((chunk.record["digest"], chunk.record["form"]))
                chunks.append(chunk)
        packs = [pack(chunks)] + [pack(more) for more in self.more_packs]
        store = {"kilter-store.json": canonical(self.about) + b"\n",
                 "refs/heads/main": self.replace_ref or name_of(commit).encode() + b"\n"}
        for path, data, _, _ in packs:
            store[path] = self.bend_pack(data) if self.bend_pack else data
        path, data = index(packs, [(TIME_NS, commit)])
        if self.replace_index:
            path, data = self.replace_index(path, data)
        store[path] = data
        store.update(self.extra(packs, commit, (path, data)) if callable(self.extra) else self.extra)
        return store


def small_files():
    """A safetensors file of one tensor, and a text."""
    tensor = b"".join(struct.pack("<f", 1 + i / 64) for i in range(32))
    header = canonical({"w": {"data_offsets": [0, 128], "dtype": "F32", "shape": [4, 8]}})
    header += b" " * (-len(header) % 8)
    content = struct.pack("<Q", len(header)) + header + tensor
    return {"config.json": b'{"hidden_size": 8}\n', "model.safetensors": content}


def small(**other):
    files = small_files()
    offset = len(files["model.safetensors"]) - 128
    return Golden(files, [("model.safetensors", offset, 128, "f32", "w", [4, 8], 64, None)], **other)


GOLDEN = {}


def golden(about):
    def add(make):
        GOLDEN[make.__name__.replace("_", "-")] = (about, make)
        return make
    return add


def accepted(maker, restore=None):
    return {"store": maker.build(), "restore": maker.files if restore is None else restore}


def refused(maker, *says, verb=("restore", "STORE@main", "OUT"), status=3):
    return {"store": maker.build(), "verb": list(verb), "status": status, "says": list(says)}


# ---- accepted -----------------------------------------------------------------------------------

@golden("A folder of two files, one tensor in two pieces, everything raw. The example of spec/store.md.")
def good_raw():
    return accepted(small())


@golden("A checkpoint that is a single file; an empty tensor list.")
def good_single_file():
    return accepted(Golden({"notes.bin": bytes(range(200))}, root="file"))


@golden("An empty file between others.")
def good_empty_file():
    return accepted(Golden({"a": b"1", "b": b"", "c": b"3"}))


@golden("A folder without files.")
def good_empty_folder():
    return accepted(Golden({}))


@golden("Folders in paths, names that need escapes in JSON, files sorted by bytes.")
def good_names():
    return accepted(Golden({"a/x": b"1", "a-b": b"2", "ü \"q\" €": b"3", "a/y/z": b"4"}))


def every_form():
    master = b"".join(struct.pack("<I", 0x3F800000 + 0x1234 * i) for i in range(256))
    moved = b"".join(struct.pack("<I", 0x3F800000 + 0x1234 * i + (5 * (i % 8 == 0) - (i % 16 == 4)) * (i < 128))
                     for i in range(256))
    rounded = [(x + 0x7FFF + (x >> 16 & 1)) >> 16 for x in struct.unpack("<256I", moved)]
    rounded[3] = 0x1234
    half = struct.pack("<256H", *rounded)
    zeros = bytes(1024)
    sparse = bytes(512) + master[:512] + b"\7\7"
    content = master + moved + half + zeros + sparse
    tensors, at = [], 0
    for name, data, dtype, chunk in (
            ("master", master, "f32", Chunk(master, form=EXPONENT, element=3, payload=exponent_form(master, 4, 2))),
            ("moved", moved, "f32", Chunk(moved, form=DELTA, element=3, base=master, depth=1,
                                          payload=delta_form(moved, master))),
            ("half", half, "bf16", Chunk(half, form=CAST, element=1, base=moved, depth=2,
                                         payload=cast_form(half, moved), tried=1)),
            ("zeros", zeros, "u8", Chunk(zeros, form=ZSTD, payload=zstd_of_constant(zeros))),
            ("sparse", sparse, "u8", Chunk(sparse, form=EXPONENT, element=3, payload=exponent_form(sparse, 4, 2)))):
        assert len(chunk.payload) < len(data), name
        tensors.append(("model.bin", at, len(data), dtype, name, [len(data)], len(data), [chunk]))
        at += len(data)
    maker = Golden({"model.bin": content}, tensors)
    maker.more_packs = [maker.chunks[:1]]
    maker.chunks = maker.chunks[1:]
    return maker


@golden("Every form: zstd, exponent, delta with a base, cast with a base in another pack.")
def good_forms():
    return accepted(every_form())


@golden("What deltas lean on is damaged in two packs, raw, and sound in a third.")
def good_second_place_of_base():
    maker = every_form()
    plain = maker.more_packs[0][0].plain
    damaged = [[Chunk(plain, element=3, payload=mark + plain[1:])] for mark in (b"X", b"Y")]
    maker.more_packs.insert(0, [Chunk(plain)])  # sound, but its bytes are no float32 for a delta
    maker.more_packs = [damaged[0], *maker.more_packs, damaged[1]]
    return accepted(maker)


@golden("JSON that is not canonical, members that are not known, files that are not known, a hidden stage file.")
def good_unknown():
    maker = small()
    maker.tree["later"] = {"x": 1}
    maker.tree_text = json.dumps(maker.tree, indent=1).encode()
    maker.about["later"] = True
    maker.extra = {"README": b"mine", "aside/packs/x": b"x", ".stage-0123456789abcdef.tmp": b"half",
                   "refs/heads/.hidden": b"x", "index/not-a-digest.idx": b"x"}
    return accepted(maker)


@golden("Metadata with integers that fit no word, and with every other kind of value.")
def good_numbers():
    maker = small()
    maker.commit["metadata"] = {"big": 2**63, "loss": 1.5, "low": -2**63, "none": None, "step": 100,
                                "tokens": 10**20, "values": [1, {"a": True}]}
    return accepted(maker)


@golden("An index file that another supersedes and that has not been removed yet; the same chunks in two packs.")
def good_superseded():
    maker = small()
    maker.more_packs = [[Chunk(b"unused"), *maker.chunks[:2]]]

    def extra(packs, commit, old):
        path, data = index(packs, [(TIME_NS, commit)], [bytes.fromhex(old[0][6:70])])
        return {path: data}
    maker.extra = extra
    return accepted(maker)


@golden("The first place of a chunk is damaged, another is sound.")
def good_second_place():
    maker = small()
    chunk = maker.chunks[0]
    maker.more_packs = [[Chunk(chunk.plain, payload=b"X" + chunk.plain[1:])]]
    return accepted(maker)


@golden("A fossil list condemns the pack: readers take no notice.")
def good_condemned():
    maker = small()

    def extra(packs, commit, old):
        text = canonical({"packs": [packs[0][2].hex()], "sessions": ["00112233445566aa"]})
        return {f"fossils/{name_of(text)}.json": text}
    maker.extra = extra
    return accepted(maker)


# ---- refused ------------------------------------------------------------------------------------

@golden("Not a store of Kilter.")
def bad_format():
    maker = small()
    maker.about["format"] = "other"
    return refused(maker, "kilter-store.json")


@golden("A store of a newer version.")
def bad_version():
    maker = small()
    maker.about["version"] = 2
    return refused(maker, "kilter-store.json", "version 2")


@golden("A store that needs a feature nobody knows.")
def bad_requires():
    maker = small()
    maker.about["requires"] = ["weather"]
    return refused(maker, "kilter-store.json", "weather")


@golden("A reference that holds no digest.")
def bad_ref():
    maker = small()
    maker.replace_ref = b"main\n"
    return refused(maker, "refs/heads/main")


@golden("A reference with more than a digest and a line feed.")
def bad_ref_longer():
    maker = small()
    maker.build()
    maker.replace_ref = name_of(canonical(maker.commit)).encode() + b" main\n"
    return refused(maker, "refs/heads/main")


@golden("A reference to a commit that is nowhere.")
def bad_ref_dangling():
    maker = small()
    maker.replace_ref = b"ab" * 32 + b"\n"
    return refused(maker, "main", "missing")


@golden("A commit whose data was given up.")
def bad_retired():
    maker = small()

    def extra(packs, commit, old):
        text = canonical({"commits": [name_of(commit)]})
        return {f"retired/{name_of(text)}.json": text}
    maker.extra = extra
    return refused(maker, "given up", status=4)


def bent_index(bend, *says, keep_name=False):
    maker = small()

    def replace(path, data):
        data = bend(data)
        return (path, data) if keep_name else seal(data)
    maker.replace_index = replace
    return refused(maker, "index/", *says)


@golden("An index file with another magic.")
def bad_index_magic():
    return bent_index(lambda data: b"KILTINDY" + data[8:])


@golden("An index file of a newer version.")
def bad_index_version():
    return bent_index(lambda data: data[:8] + b"\2" + data[9:], "version 2")


@golden("An index file with a section behind its end.")
def bad_index_section():
    return bent_index(lambda data: data[:40] + struct.pack("<Q", 1 << 60) + data[48:], "section")


@golden("An index file that was cut off.")
def bad_index_cut():
    return bent_index(lambda data: data[:-40], keep_name=True)


@golden("An index file whose content does not match its name.")
def bad_index_name():
    return bent_index(lambda data: data[:-3] + b"XYZ", "name", keep_name=True)


def bent_record(*says, verb=("restore", "STORE@main", "OUT"), **fields):
    maker = small()
    maker.chunks[0].record.update(fields)
    return refused(maker, *says, verb=verb)


@golden("A form that is not known.")
def bad_form():
    return bent_record("form", form=5)


@golden("A kind that is none.")
def bad_kind():
    return bent_record("kind", kind=3)


@golden("An element that is none.")
def bad_element():
    return bent_record("element", element=10)


@golden("A chain that is too long.")
def bad_depth():
    return bent_record("leans on too many", form=DELTA, depth=17)


@golden("A raw chunk with a depth.")
def bad_depth_of_raw():
    return bent_record("depth", depth=1)


@golden("A raw chunk stored in another number of bytes than it has.")
def bad_raw_bytes():
    return bent_record("raw", stored_bytes=63)


@golden("A chunk stored in more bytes than it has.")
def bad_stored_bytes():
    return bent_record("more bytes", form=ZSTD, stored_bytes=65)


@golden("A chunk of data that would have a gigabyte.")
def bad_chunk_bytes():
    return bent_record("larger", form=ZSTD, bytes=1 << 30)


@golden("A payload behind the end of its pack.")
def bad_offset():
    return bent_record(".pack", "ends before", offset=1 << 40)


@golden("A pack that was cut off.")
def bad_pack_cut():
    maker = small()
    maker.bend_pack = lambda data: data[:100]
    return refused(maker, ".pack")


@golden("A byte of a raw payload was changed.")
def bad_digest():
    maker = small()
    maker.bend_pack = lambda data: data[:70] + bytes([data[70] ^ 1]) + data[71:]
    return refused(maker, ".pack", "name")


@golden("A checksum that does not match a coded payload.")
def bad_checksum():
    maker = small()
    plain = bytes(300)
    maker.chunks[0] = Chunk(maker.chunks[0].plain, form=ZSTD, payload=zstd_of_constant(plain)[:10] + bytes(10),
                            checksum=1)
    return refused(maker, ".pack", "checksum")


@golden("A payload that decodes to something else than its name says.")
def bad_decoded():
    maker = small()
    wrong = bytes(64)
    maker.chunks[0] = Chunk(maker.chunks[0].plain, form=EXPONENT, element=3,
                            payload=exponent_form(wrong, 4, 2))
    return refused(maker, ".pack", "name")


@golden("An exponent payload of an unknown layout.")
def bad_layout():
    maker = small()
    maker.chunks[0] = Chunk(maker.chunks[0].plain, form=EXPONENT, element=3, payload=b"\2" + bytes(20))
    return refused(maker, ".pack")


@golden("Two chunks that lean on each other.")
def bad_cycle():
    maker = small()
    one, two = maker.chunks[0].plain, maker.chunks[1].plain
    maker.chunks[0] = Chunk(one, form=DELTA, element=3, base=two, depth=1, payload=delta_form(one, two)[:60])
    maker.chunks[1] = Chunk(two, form=DELTA, element=3, base=one, depth=2, payload=delta_form(two, one)[:60])
    return refused(maker, ".pack", "leans on")


@golden("A base that is nowhere.")
def bad_base():
    maker = small()
    plain = maker.chunks[0].plain
    maker.chunks[0] = Chunk(plain, form=DELTA, element=3, base=b"nowhere", depth=1,
                            payload=delta_form(plain, plain)[:60])
    return refused(maker, ".pack", "leans on", name_of(b"nowhere"))


@golden("A base of another element.")
def bad_base_element():
    maker = small()
    one, two = maker.chunks[0].plain, maker.chunks[1].plain
    maker.chunks[0] = Chunk(one, form=DELTA, element=3, base=two, depth=1, payload=delta_form(one, one)[:60])
    return refused(maker, ".pack")


@golden("A chunk that no index file lists.")
def bad_missing_chunk():
    maker = small()
    gone = maker.chunks.pop(0)
    return refused(maker, gone.record["digest"].hex())


@golden("A pack that is gone.")
def bad_missing_pack():
    maker = small()
    result = refused(maker, ".pack")
    result["store"] = {path: data for path, data in result["store"].items() if not path.endswith(".pack")}
    return result


def bent_tree(bend, *says):
    maker = small()
    bend(maker.tree)
    return refused(maker, "tree ", *says)


@golden("A tree of a newer version.")
def bad_tree_version():
    return bent_tree(lambda tree: tree.update(version=2), "version 2")


@golden("A tree that is no JSON.")
def bad_tree_json():
    maker = small()
    maker.tree_text = canonical(maker.tree)[:-1]
    return refused(maker, "tree ")


@golden("A tree with a member twice.")
def bad_tree_twice():
    maker = small()
    maker.tree_text = canonical(maker.tree)[:-1] + b',"root":"file"}'
    return refused(maker, "tree ", "root")


@golden("A path that leads out of its folder.")
def bad_path_up():
    return bent_tree(lambda tree: tree["files"][0].update(path="../config.json"), "..")


@golden("An absolute path.")
def bad_path_absolute():
    return bent_tree(lambda tree: tree["files"][0].update(path="/etc/config.json"), "absolute")


@golden("A path that Windows takes for a device.")
def bad_path_device():
    return bent_tree(lambda tree: tree["files"][0].update(path="con.json"), "device")


@golden("Files that are not in order.")
def bad_tree_order():
    return bent_tree(lambda tree: tree["files"][0].update(path="z.json"), "order")


@golden("Two files of one path.")
def bad_tree_same_path():
    return bent_tree(lambda tree: tree["files"][0].update(path="model.safetensors"), "order")


@golden("A path that is a file and also a folder; another file sorts between the two.")
def bad_tree_file_and_folder():
    def bend(tree):
        tree["files"] += [{"bytes": 0, "path": "model.safetensors-old"}, {"bytes": 0, "path": "model.safetensors/w"}]
    return bent_tree(bend, "a file and a folder", "model.safetensors")


@golden("A tensor that overlaps the one before it.")
def bad_tree_overlap():
    def bend(tree):
        tensor = tree["tensors"][0]
        tree["tensors"].append(dict(tensor, at=[1, tensor["at"][1] + 64], bytes=64, chunks=tensor["chunks"][1:]))
        tree["files"][0]["bytes"] += 64
    return bent_tree(bend, "overlaps", '"w"')


@golden("A tensor that reaches past its file.")
def bad_tree_past_end():
    def bend(tree):
        tree["tensors"][0]["at"][1] += 8
    return bent_tree(bend, "past the end", '"w"')


@golden("A tensor in a file that is not there.")
def bad_tree_file_number():
    def bend(tree):
        tree["tensors"][0]["at"][0] = 7
    return bent_tree(bend, '"w"')


@golden("A tensor with another number of chunks than its size needs.")
def bad_tree_chunks():
    return bent_tree(lambda tree: tree["tensors"][0]["chunks"].pop(), "number of chunks", '"w"')


@golden("A tensor whose pieces have no bytes.")
def bad_tree_piece():
    return bent_tree(lambda tree: tree["tensors"][0].update(piece=0), '"w"')


@golden("A tensor of a dtype that is none.")
def bad_tree_dtype():
    return bent_tree(lambda tree: tree["tensors"][0].update(dtype="f17"), "dtype")


@golden("A skeleton that is shorter than the files need.")
def bad_tree_short():
    return bent_tree(lambda tree: tree["skeleton"].pop(), "skeleton")


@golden("A skeleton that is longer than the files are.")
def bad_tree_long():
    return bent_tree(lambda tree: tree["skeleton"].append(tree["skeleton"][0]), "skeleton")


@golden("A skeleton chunk that is not as long as the tree says.")
def bad_tree_lengths():
    def bend(tree):
        tree["skeleton"][0][1] += 1
        tree["skeleton"][1][1] -= 1
    maker = small()
    bend(maker.tree)
    return refused(maker, "as long")


@golden("A number that is negative.")
def bad_tree_negative():
    return bent_tree(lambda tree: tree["files"][0].update(bytes=-1))


@golden("A single file that is two.")
def bad_tree_single():
    return bent_tree(lambda tree: tree.update(root="file"), "single file")


def bent_commit(bend, *says):
    maker = small()
    bend(maker.commit)
    return refused(maker, "commit ", *says)


@golden("A commit of a newer version.")
def bad_commit_version():
    return bent_commit(lambda commit: commit.update(version=2), "version 2")


@golden("A commit without a tree.")
def bad_commit_tree():
    return bent_commit(lambda commit: commit.update(tree="none"))


@golden("A commit at a time that is none.")
def bad_commit_time():
    return bent_commit(lambda commit: commit.update(time="2026-02-30T00:00:00Z"), "time")


@golden("A commit whose parents are no digests.")
def bad_commit_parents():
    return bent_commit(lambda commit: commit.update(parents=["main"]))


@golden("A commit whose metadata is no object.")
def bad_commit_metadata():
    return bent_commit(lambda commit: commit.update(metadata=[1]), "metadata")


@golden("A commit that is named by a tree's digest: an object is what it says, not what was expected.")
def bad_commit_kind():
    maker = small()
    maker.commit["tree"] = name_of(maker.chunks[-1].plain)
    return refused(maker, "tree ")


# ---- files --------------------------------------------------------------------------------------

def render(name):
    about, make = GOLDEN[name]
    case = make()
    for key in ("store", "restore"):
        if key in case:
            case[key] = {path: base64.b64encode(data).decode() for path, data in case[key].items()}
    return json.dumps({"about": about, **case}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main(check):
    wanted = {f"{name}.json": render(name) for name in GOLDEN}
    there = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    if check:
        wrong = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
        sys.exit(f"not as this script makes them: {wrong}" if wrong else 0)
    FOLDER.mkdir(exist_ok=True)
    for name in there.keys() - wanted.keys():
        (FOLDER / name).unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main("--check" in sys.argv[1:])
