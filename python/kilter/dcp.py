"""torch.distributed.checkpoint through Kilter: one commit for the parts of all ranks.

    writer = kilter.dcp.StorageWriter("runs.kilter", step=1200)
    dcp.save(state_dict, storage_writer=writer)              # or dcp.async_save
    dcp.load(state_dict, storage_reader=kilter.dcp.StorageReader("runs.kilter"))

torch's own planners work as they are: FSDP2, DTensor, tensor parallel, another number of ranks when
loading. The reader takes any address that Kilter opens, a folder that torch wrote too. Between
machines the store lies on a file system that all of them share, or in a bucket.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Optional

import torch
from torch.distributed.checkpoint.metadata import (
    BytesStorageMetadata,
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    StorageMeta,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.planner import (
    LoadItemType,
    LoadPlan,
    LoadPlanner,
    SavePlan,
    SavePlanner,
    WriteItem,
    WriteItemType,
)
from torch.distributed.checkpoint.storage import StorageReader as _StorageReader
from torch.distributed.checkpoint.storage import StorageWriter as _StorageWriter
from torch.distributed.checkpoint.storage import WriteResult
from torch.futures import Future

from . import _dtypes, _native
from ._dcp_layout import LAYOUT_NAME, Layout, Piece, layout_of
from .checkpoint import Path
from .errors import ArgumentError, UnsafeError

__all__ = ["StorageReader", "StorageWriter"]


@dataclass(frozen=True)
class _Rank:
    """What the coordinator tells each rank: which one it is."""

    number: int


@dataclass(frozen=True)
class _Stored:
    """Where an item lies. ``part`` is what the commit needs to know, on a rank's first item."""

    rank: int
    name: str
    part: str = ""


def _split(checkpoint_id: str) -> tuple[str, Optional[int]]:
    """ "runs.kilter@step:120" or "runs.kilter": the store, and the step."""
    store, at, selector = checkpoint_id.rpartition("@")
    if not at:
        return checkpoint_id, None
    number = selector.removeprefix("step:")
    if not number.isdigit():
        raise ArgumentError(
            "this is no step to be saved", expected="STORE@step:NUMBER", found=checkpoint_id
        )
    return store, int(number)


class StorageWriter(_StorageWriter):
    """Writes what torch's planner asks for into a store.

    ``step`` is the step of the next save; set :attr:`step` before each further one, or name it with
    ``checkpoint_id="runs.kilter@step:1300"``. ``metadata`` (a dictionary: loss, …) goes into the
    commit. After a save, :attr:`commit` is its name, on the coordinator.

    >>> import torch, torch.distributed.checkpoint as dcp, kilter.dcp
    >>> writer = kilter.dcp.StorageWriter("dcp.kilter", step=7)
    >>> saved = dcp.save({"w": torch.ones(3)}, storage_writer=writer, no_dist=True)
    >>> state = {"w": torch.zeros(3)}
    >>> dcp.load(state, storage_reader=kilter.dcp.StorageReader("dcp.kilter"), no_dist=True)
    >>> state["w"]
    tensor([1., 1., 1.])
    """

    def __init__(
        self,
        address: Optional[Path] = None,
        *,
        step: Optional[int] = None,
        metadata: Optional[Mapping[str, Any]] = None,
        branch: str = "main",
        author: str = "",
        coding: str = "raw",
        thread_count: int = 0,
        write_memory_bytes: int = 96 << 20,
    ) -> None:
        super().__init__()
        self._address = None if address is None else os.fspath(address)
        #: The step of the next save.
        self.step = step
        #: What the next commit says besides its step.
        self.metadata: dict[str, Any] = dict(metadata or {})
        #: The name of the last commit, on the coordinator.
        self.commit = ""
        self._options = (branch, author, coding, thread_count, write_memory_bytes)
        self._native: Optional[_native.ShardedSaver] = None
        self._opened = ""
        self._coordinator = False

    def _saver(self) -> _native.ShardedSaver:
        if self._address is None:
            raise ArgumentError(
                "no store is named", hint='use StorageWriter("runs.kilter"), or checkpoint_id'
            )
        if self._native is None or self._opened != self._address:
            self._native = _native.open_sharded(self._address, *self._options)
            self._opened = self._address
        return self._native

    # torch's protocol --------------------------------------------------------

    def reset(self, checkpoint_id: Optional[Path] = None) -> None:
        """A new save begins."""
        if checkpoint_id is not None and os.fspath(checkpoint_id):
            store, step = _split(os.fspath(checkpoint_id))
            self._address = store
            self.step = self.step if step is None else step

    def set_up_storage_writer(self, is_coordinator: bool, *_: Any, **__: Any) -> None:
        """Says whether this rank makes the commit."""
        self._coordinator = is_coordinator
        if self.step is None:
            raise ArgumentError(
                "no step is named",
                hint='use StorageWriter("runs.kilter", step=1200), or set .step before each save',
            )

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        """Nothing to add."""
        return plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        """Numbers the ranks."""
        return [replace(plan, storage_data=_Rank(i)) for i, plan in enumerate(plans)]

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        """Writes this rank's items; durable when the future is done."""
        future: Future[list[WriteResult]] = Future()
        future.set_result(self._write(plan, planner))
        return future

    def _write(self, plan: SavePlan, planner: SavePlanner) -> list[WriteResult]:
        rank = plan.storage_data.number if isinstance(plan.storage_data, _Rank) else 0
        if not plan.items:
            return []
        rows: list[tuple[str, str, list[int], list[int], int]] = []
        alive: list[torch.Tensor] = []  # until they are written
        names: set[str] = set()
        for item in plan.items:
            tensor = _tensor_of(item, planner)
            dtype = _dtypes.name_of_torch(tensor.dtype)
            if dtype is None or _dtypes.is_packed(dtype):
                tensor, dtype = tensor.contiguous().view(torch.uint8), "u8"
            alive.append(tensor)
            name = _free_name(item.index, names)
            rows.append(
                (name, dtype, list(tensor.shape), list(tensor.stride()), tensor.data_ptr())
            )
        part = self._saver().write(rank, rows)
        results: list[Any] = []
        for item, row, tensor in zip(plan.items, rows, alive):
            stored = _Stored(rank, row[0], "" if results else part)
            results.append(WriteResult(item.index, tensor.nbytes, stored))
        return results

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        """Makes the commit; called on the coordinator once all parts are durable."""
        assert self.step is not None
        everything = [result for rank in results for result in rank]
        parts = [result.storage_data.part for result in everything if result.storage_data.part]
        text = layout_of(metadata, everything).text()
        report = self._saver().commit(self.step, parts, [(LAYOUT_NAME, text)], self.metadata)
        self.commit = report["commit"]

    def storage_meta(self) -> Optional[StorageMeta]:
        """Where it goes."""
        return StorageMeta(checkpoint_id=self._address, save_id=None)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Path) -> bool:
        """Any text is taken for an address until it is opened."""
        return bool(os.fspath(checkpoint_id))


def _tensor_of(item: WriteItem, planner: SavePlanner) -> torch.Tensor:
    """What an item holds, in the processor's memory; objects as their bytes."""
    data = planner.resolve_data(item)
    if item.type == WriteItemType.BYTE_IO:
        assert isinstance(data, io.BytesIO)
        return torch.frombuffer(bytearray(data.getbuffer() or b"\0"), dtype=torch.uint8)
    assert isinstance(data, torch.Tensor)
    return data.detach().cpu().resolve_conj().resolve_neg()


def _free_name(index: MetadataIndex, names: set[str]) -> str:
    name: str = index.fqn
    if index.offset is not None and any(index.offset):
        name += "@" + ",".join(map(str, index.offset))
    wanted, number = name, 2
    while name in names:
        name, number = f"{wanted}~{number}", number + 1
    names.add(name)
    return name


class StorageReader(_StorageReader):
    """Reads what torch's planner asks for: of a step that ranks have saved, or of any checkpoint.

    ``address`` is a store (its newest step), "runs.kilter@step:1200", a folder that torch wrote, a
    safetensors file … Each rank reads only what it needs, straight into its tensors, and every byte
    of a store is checked.
    """

    def __init__(self, address: Optional[Path] = None) -> None:
        super().__init__()
        self._address = None if address is None else os.fspath(address)
        self._native: Optional[_native.Checkpoint] = None
        self._layout: Optional[Layout] = None
        self._numbers: dict[str, int] = {}

    def _open(self) -> Layout:
        if self._layout is None:
            if self._address is None:
                raise ArgumentError(
                    "no checkpoint is named", hint='use StorageReader("runs.kilter")'
                )
            self._native = _native.open(self._address, False, join_ranks=False)
            self._numbers = {name: i for i, name in enumerate(self._native.names)}
            self._layout = Layout.of_checkpoint(self._native)
        return self._layout

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Path) -> bool:
        """Any text is taken for an address until it is opened."""
        return bool(os.fspath(checkpoint_id))

    def reset(self, checkpoint_id: Optional[Path] = None) -> None:
        """A new load begins; the store may have a newer step."""
        if checkpoint_id is not None and os.fspath(checkpoint_id):
            self._address = os.fspath(checkpoint_id)
        self._native = self._layout = None

    def read_metadata(self, *_: Any, **__: Any) -> Metadata:
        """What there is, as torch's planner wants to know it."""
        layout = self._open()
        entries: dict[str, Any] = {}
        storage: dict[MetadataIndex, Piece] = {}
        for name, tensor in layout.tensors.items():
            chunks = []
            for piece in tensor.pieces:
                at = torch.Size(piece.at)
                chunks.append(ChunkStorageMetadata(at, torch.Size(piece.shape)))
                storage[MetadataIndex(name, at)] = piece
            properties = TensorProperties(dtype=_dtypes.torch_dtype(tensor.dtype))
            properties.requires_grad = tensor.requires_grad
            entries[name] = TensorStorageMetadata(properties, torch.Size(tensor.shape), chunks)
        for name, piece in layout.objects.items():
            entries[name] = BytesStorageMetadata()
            storage[MetadataIndex(name)] = piece
        paths = {name: tuple(path) for name, path in layout.paths.items()}
        return Metadata(entries, planner_data=paths, storage_data=storage)

    def set_up_storage_reader(
        self, metadata: Metadata, is_coordinator: bool, *_: Any, **__: Any
    ) -> None:
        """Keeps what read_metadata() gave."""
        self._open()
        self._storage: dict[MetadataIndex, Piece] = metadata.storage_data

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        """Nothing to add."""
        return plan

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        """Nothing to add."""
        return plans

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        """Reads all boxes of the plan on all threads."""
        layout = self._open()
        native = self._native
        assert native is not None
        boxes, copies, resolved = [], [], []
        for item in plan.items:
            piece = self._storage[item.storage_index]
            if item.type == LoadItemType.BYTE_IO:
                planner.load_bytes(item, io.BytesIO(self._object(layout, item.storage_index.fqn)))
                continue
            target = planner.resolve_tensor(item).detach()
            resolved.append((item, target))
            dtype = _dtypes.torch_dtype(layout.tensors[item.storage_index.fqn].dtype)
            place = target
            if target.device.type != "cpu" or target.dtype != dtype or target.is_conj():
                place = torch.empty(target.shape, dtype=dtype)
                copies.append((target, place))
            boxes.append(
                (
                    self._number(piece),
                    list(item.storage_offsets),
                    list(item.lengths),
                    list(place.stride()),
                    place.data_ptr(),
                )
            )
        _native.load_boxes(native, boxes, None)
        for target, place in copies:
            target.copy_(place)
        for item, target in resolved:
            planner.commit_tensor(item, target)
        future: Future[None] = Future()
        future.set_result(None)
        return future

    def _number(self, piece: Piece) -> int:
        number = self._numbers.get(piece.full_name)
        return self._numbers[piece.name] if number is None else number

    def _object(self, layout: Layout, name: str) -> bytes:
        """The archive of an object, judged: torch's planner opens it with pickle."""
        made = layout.made.get(name)
        if made is not None:  # of a checkpoint that is no archive: plain values
            buffer = io.BytesIO()
            torch.save(made[0], buffer)
            return buffer.getvalue()
        assert self._native is not None
        number = self._number(layout.objects[name])
        data = bytes(self._native.read(number, 0, self._native.tensor_info(number)[6]))
        verdict, evidence = _native.judge_bytes(data)
        if verdict not in ("safe", "unknown"):
            raise UnsafeError(
                f"the object is {verdict}: torch would run it",
                path=self._address or "",
                tensor=name,
                found=evidence,
                hint="load without it, or from a checkpoint you trust",
            )
        return data
