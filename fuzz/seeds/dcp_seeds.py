"""Distributed checkpoints of torch, sound and not, made without torch."""

import pickle
import sys
import types

from torch_zip_seeds import archive, storage, tensor

MODULE = "torch.distributed.checkpoint.metadata"


def stand_in(module, *names):
    """Classes of these names, so that pickle writes what torch would."""
    sys.modules.setdefault(module, types.ModuleType(module))
    made = []
    for name in names:
        made.append(type(name, (), {"__module__": module}))
        setattr(sys.modules[module], name, made[-1])
    return made


(Metadata, TensorStorage, BytesStorage, ChunkStorage, Index) = stand_in(
    MODULE, "Metadata", "TensorStorageMetadata", "BytesStorageMetadata", "ChunkStorageMetadata",
    "MetadataIndex")
(StorageInfo,) = stand_in("torch.distributed.checkpoint.filesystem", "_StorageInfo")
(Float, Size) = stand_in("torch", "float32", "Size")


class Properties:
    def __getstate__(self):
        return (Float, None, False, None, False)


Properties.__module__, Properties.__qualname__ = MODULE, "TensorProperties"
sys.modules[MODULE].TensorProperties = Properties
Size.__new__ = lambda cls, *a: object.__new__(cls)
Size.__reduce__ = lambda self: (Size, (self.numbers,))


def made(kind, **attributes):
    out = kind()
    out.__dict__.update(attributes)
    return out


def size(*numbers):
    return made(Size, numbers=tuple(numbers))


def metadata(protocol, entries, places, paths=None, **more):
    whole = made(Metadata, state_dict_metadata=entries, planner_data=paths, storage_data=places,
                 **more)
    return pickle.dumps(whole, protocol=protocol)


def chunked(total, *chunks):
    return made(TensorStorage, properties=Properties(), size=size(*total),
                chunks=[made(ChunkStorage, offsets=size(*o), sizes=size(*s)) for o, s in chunks])


def place(name, offsets, at, length, **more):
    offset = None if offsets is None else size(*offsets)
    return (made(Index, fqn=name, offset=offset, index=0),
            made(StorageInfo, relative_path="__0_0.distcp", offset=at, length=length, **more))


def item(shape):
    count = 1
    for n in shape:
        count *= n
    strides, step = [], 1
    for n in reversed(shape):
        strides.insert(0, step)
        step *= n
    return archive(b"\x80\x02" + tensor(storage(b"0", count), shape, strides) + b".",
                   storages=(bytes(range(4 * count)),))


def seeds():
    low, high = item((2, 3)), item((1, 3))
    thing = archive(b"\x80\x02K\x07.", storages=())
    data = low + high + thing
    entries = {"w": chunked((3, 3), ((0, 0), (2, 3)), ((2, 0), (1, 3))), "n": BytesStorage()}
    places = dict([place("w", (0, 0), 0, len(low)), place("w", (2, 0), len(low), len(high)),
                   place("n", None, len(low) + len(high), len(thing))])
    paths = {"w": ("model", "layers", 0, "w"), "n": ("n",)}
    between = b"\x1e" * 4
    for protocol in (0, 2, 4):
        yield f"two_chunks_protocol_{protocol}", (
            metadata(protocol, entries, places, paths, version="1.0.0") + between + data)
    yield "no_paths", metadata(2, entries, places) + between + data
    yield "chunk_missing", metadata(2, {"w": chunked((3, 3), ((0, 0), (2, 3)))},
                                    places) + between + data
    yield "chunks_overlap", metadata(
        2, {"w": chunked((3, 3), ((0, 0), (2, 3)), ((1, 0), (1, 3)))},
        dict([place("w", (0, 0), 0, len(low)), place("w", (1, 0), len(low), len(high))])) + between + data
    yield "another_shape", metadata(2, {"w": chunked((3, 2), ((0, 0), (3, 2)))},
                                    dict([place("w", (0, 0), 0, len(low))])) + between + data
    yield "past_the_end", metadata(2, {"w": chunked((2, 3), ((0, 0), (2, 3)))},
                                   dict([place("w", (0, 0), 0, len(data) + 1)])) + between + low
    yield "zstd_that_is_none", metadata(
        2, {"w": chunked((2, 3), ((0, 0), (2, 3)))},
        dict([place("w", (0, 0), 0, len(low), transform_descriptors=["stream.zstd/1"])])) + between + low
    yield "huge_position", metadata(2, {"n": BytesStorage()},
                                    dict([place("n", None, 0, len(thing))]),
                                    {"n": ("l", 2**60)}) + between + thing
    yield "only_metadata", metadata(2, entries, places)
