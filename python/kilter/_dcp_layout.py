"""What the pieces of a step saved by several ranks are pieces of. Source: spec/sharded-step.md."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Union

from torch.distributed.checkpoint.metadata import (
    Metadata,
    MetadataIndex,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.storage import WriteResult

from . import _dtypes, _native
from .errors import MalformedError, UnsupportedError

LAYOUT_NAME = "kilter-dcp.json"
Key = Union[str, int]


@dataclass(frozen=True)
class Piece:
    """A box of a tensor, and where it lies. ``rank`` -1: in a file of any other checkpoint."""

    at: list[int]
    shape: list[int]
    rank: int
    name: str

    @property
    def full_name(self) -> str:
        """As the opened checkpoint calls it."""
        return self.name if self.rank < 0 else f"rank-{self.rank:05}.{self.name}"


@dataclass
class Whole:
    """A tensor and its pieces."""

    dtype: str
    shape: list[int]
    pieces: list[Piece]
    requires_grad: bool = False


@dataclass
class Layout:
    """Tensors, objects and where in the nested state they belong."""

    tensors: dict[str, Whole] = field(default_factory=dict)
    objects: dict[str, Piece] = field(default_factory=dict)
    paths: dict[str, list[Key]] = field(default_factory=dict)
    made: dict[str, list[Any]] = field(default_factory=dict)  # objects that are plain values

    def text(self) -> str:
        """The file."""
        tensors: dict[str, Any] = {}
        for name, whole in self.tensors.items():
            entry: dict[str, Any] = {"dtype": whole.dtype, "shape": whole.shape}
            if whole.requires_grad:
                entry["requires_grad"] = True
            entry["pieces"] = [
                {"at": piece.at, "shape": piece.shape, "rank": piece.rank, "name": piece.name}
                for piece in whole.pieces
            ]
            tensors[name] = entry
        objects = {
            name: {"rank": piece.rank, "name": piece.name} for name, piece in self.objects.items()
        }
        out: dict[str, Any] = {"format": "kilter-dcp", "version": 1, "tensors": tensors}
        out["objects"] = objects
        out["paths"] = {name: path for name, path in self.paths.items() if path != [name]}
        return json.dumps(out, separators=(",", ":")) + "\n"

    @staticmethod
    def parse(text: str) -> Layout:
        """Reads the file. Errors: MalformedError, UnsupportedError."""
        value = json.loads(text)
        if value.get("format") != "kilter-dcp":
            raise MalformedError("no layout of a step saved by several ranks", path=LAYOUT_NAME)
        if value.get("version") != 1:
            raise UnsupportedError(
                "a layout of a version that is not known",
                path=LAYOUT_NAME,
                expected="1",
                found=str(value.get("version")),
            )
        try:
            return _parsed(value)
        except (KeyError, TypeError, ValueError) as error:
            raise MalformedError(f"the layout is malformed: {error}", path=LAYOUT_NAME) from error

    @staticmethod
    def of_checkpoint(native: _native.Checkpoint) -> Layout:
        """Of a step that ranks have saved; of any other checkpoint each tensor is one piece."""
        text = _native.file_text(native, LAYOUT_NAME)
        if text is not None:
            return Layout.parse(text)
        from ._dcp_foreign import layout_of_any

        return layout_of_any(native)


def _parsed(value: Mapping[str, Any]) -> Layout:
    out = Layout()
    for name, entry in value["tensors"].items():
        if entry["dtype"] not in _dtypes.ROWS:
            raise ValueError(f"dtype {entry['dtype']!r}")
        pieces = [
            Piece(_sizes(p["at"]), _sizes(p["shape"]), int(p["rank"]), str(p["name"]))
            for p in entry["pieces"]
        ]
        grad = bool(entry.get("requires_grad", False))
        out.tensors[name] = Whole(entry["dtype"], _sizes(entry["shape"]), pieces, grad)
    for name, entry in value["objects"].items():
        out.objects[name] = Piece([], [], int(entry["rank"]), str(entry["name"]))
    out.paths = {name: [name] for name in (*out.tensors, *out.objects)}
    for name, path in value["paths"].items():
        out.paths[name] = [key if isinstance(key, int) else str(key) for key in path]
    return out


def _sizes(values: Iterable[Any]) -> list[int]:
    out = [int(value) for value in values]
    if any(value < 0 for value in out):
        raise ValueError("a negative size")
    return out


def layout_of(metadata: Metadata, results: Iterable[WriteResult]) -> Layout:
    """What the ranks have written, as torch's planner describes it."""
    stored = {result.index: result.storage_data for result in results}
    out = Layout()
    for name, entry in metadata.state_dict_metadata.items():
        if not isinstance(entry, TensorStorageMetadata):
            at = stored[MetadataIndex(name)]
            out.objects[name] = Piece([], [], at.rank, at.name)
            continue
        dtype = _dtypes.name_of_torch(entry.properties.dtype)
        if dtype is None:
            raise UnsupportedError(
                "no dtype of Kilter's", tensor=name, found=str(entry.properties.dtype)
            )
        pieces = []
        for chunk in entry.chunks:
            at = stored[MetadataIndex(name, chunk.offsets)]
            pieces.append(Piece(list(chunk.offsets), list(chunk.sizes), at.rank, at.name))
        grad = bool(entry.properties.requires_grad)
        out.tensors[name] = Whole(dtype, list(entry.size), pieces, grad)
    paths = metadata.planner_data or {}
    if isinstance(paths, Mapping):
        out.paths = {name: list(path) for name, path in paths.items() if name in stored_names(out)}
    return out


def stored_names(layout: Layout) -> set[str]:
    """Names of tensors and objects."""
    return {*layout.tensors, *layout.objects}
