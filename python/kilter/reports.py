"""What stores report: the structures of kilter/commit.h, store.h and upkeep.h."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Optional

from .errors import KilterError

__all__ = [
    "Affected",
    "CheckReport",
    "CollectReport",
    "CommitDetails",
    "CommitDiff",
    "CommitInfo",
    "CompactReport",
    "FileChange",
    "FormStats",
    "Lineage",
    "MetadataChange",
    "RepairReport",
    "RestoreOutcome",
    "RetainReport",
    "SaveOutcome",
    "SeriesItem",
    "StoreFault",
    "StoreRef",
    "StoreStats",
    "StoredFile",
    "StoredTensor",
    "TensorChange",
    "TransferReport",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass
class Lineage:
    """What a checkpoint was made from.

    >>> Lineage("finetune", inputs=["base@v1"]).operation
    'finetune'
    """

    operation: str
    parameters: dict[str, Any] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class CommitInfo:
    """One checkpoint of a store's history. ``time`` is in UTC.

    >>> CommitInfo("ab12", "cd34", [], 0, "me", "first", {"step": 1}, ["main"], [], False).time
    datetime.datetime(1970, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)
    """

    digest: str
    tree: str
    parents: list[str]
    time_unix_ns: int
    author: str
    message: str
    metadata: dict[str, Any]
    branches: list[str]
    tags: list[str]
    retired: bool

    @property
    def time(self) -> datetime:
        """When it was saved, to the microsecond."""
        return _EPOCH + timedelta(microseconds=self.time_unix_ns // 1000)

    @property
    def step(self) -> Optional[int]:
        """The stated step, if there is one."""
        step = self.metadata.get("step")
        return step if isinstance(step, int) else None


@dataclass(frozen=True)
class CommitDetails:
    """Everything a commit says. What is in its files is 0 or empty for a retired one."""

    info: CommitInfo
    lineage: list[Lineage]
    kilter_version: str
    format: str
    single_file: bool
    file_count: int
    tensor_count: int
    bytes: int


@dataclass(frozen=True)
class StoredFile:
    """A file of a commit."""

    path: str
    bytes: int


@dataclass(frozen=True)
class StoredTensor:
    """A run of tensor data that is stored by itself."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: str
    offset_bytes: int
    bytes: int


@dataclass(frozen=True)
class StoreRef:
    """A branch or tag (``kind``) and the commit it points to."""

    kind: str
    name: str
    commit: str


@dataclass(frozen=True)
class SeriesItem:
    """One of several checkpoints to be saved, and what its files state."""

    path: str
    format: str
    metadata: dict[str, Any]
    bytes: int


@dataclass(frozen=True)
class SaveOutcome:
    """What a save did. ``warnings`` are files that look like a checkpoint but cannot be read."""

    commit: str
    present: bool
    metadata: dict[str, Any]
    file_count: int
    file_bytes: int
    tensor_count: int
    new_bytes: int
    stored_bytes: int
    unread_bytes: int
    seconds: float
    warnings: list[KilterError]


@dataclass(frozen=True)
class RestoreOutcome:
    """What a restore wrote."""

    file_count: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class FileChange:
    """``change``: "same", "changed", "added" or "removed"."""

    change: str
    path: str
    bytes_before: int
    bytes_after: int


@dataclass(frozen=True)
class TensorChange:
    """``changed_bytes``: of chunks that are not in the first commit."""

    change: str
    name: str
    file: str
    bytes: int
    changed_bytes: int
    shape_changed: bool


@dataclass(frozen=True)
class MetadataChange:
    """A value before and after; None where there was none."""

    key: str
    before: Any
    after: Any


@dataclass(frozen=True)
class CommitDiff:
    """How two commits differ. No weights were read for it."""

    files: list[FileChange]
    tensors: list[TensorChange]
    metadata: list[MetadataChange]
    new_plain_bytes: int
    new_stored_bytes: int
    same: bool


@dataclass(frozen=True)
class RetainReport:
    """What stays, each with its reasons, and what was retired."""

    kept: list[tuple[CommitInfo, str]]
    retired: list[CommitInfo]


@dataclass(frozen=True)
class CollectReport:
    """What was freed, and what waits for writers of now."""

    removed_packs: int
    removed_bytes: int
    waiting_packs: int
    waiting_bytes: int
    dead_bytes: int
    swept_files: int
    writers: list[str]


@dataclass(frozen=True)
class CompactReport:
    """What compacting gained."""

    before_bytes: int
    after_bytes: int
    encoded_count: int
    smaller_count: int
    collected: CollectReport


@dataclass(frozen=True)
class Affected:
    """What of which commit cannot be had."""

    commit: str
    step: str
    file: str
    tensor: str


@dataclass(frozen=True)
class StoreFault:
    """Something that is damaged or missing, and what it hits."""

    error: KilterError
    affected: list[Affected]


@dataclass(frozen=True)
class CheckReport:
    """What was looked at, and every fault."""

    commit_count: int
    pack_count: int
    chunk_count: int
    read_bytes: int
    faults: list[StoreFault]

    @property
    def sound(self) -> bool:
        """No fault was found."""
        return not self.faults


@dataclass(frozen=True)
class RepairReport:
    """What was mended, and what is still wrong."""

    set_aside: list[str]
    indexed_packs: int
    saved_count: int
    fetched_count: int
    after: CheckReport


@dataclass(frozen=True)
class TransferReport:
    """What was copied, and which branches and tags moved."""

    commit_count: int
    chunk_count: int
    bytes: int
    present_count: int
    moved: list[StoreRef]


@dataclass(frozen=True)
class FormStats:
    """Needed chunks of one form and element."""

    form: str
    element: str
    chunk_count: int
    plain_bytes: int
    stored_bytes: int


@dataclass(frozen=True)
class StoreStats:
    """What a store holds."""

    commit_count: int
    retired_count: int
    file_bytes: int
    unique_bytes: int
    stored_bytes: int
    pack_bytes: int
    index_bytes: int
    pack_count: int
    forms: list[FormStats]
    chunks_by_depth: dict[int, int]


def make_check(row: dict[str, Any]) -> CheckReport:
    faults = [
        StoreFault(fault["error"], [Affected(**one) for one in fault["affected"]])
        for fault in row["faults"]
    ]
    return CheckReport(**{**row, "faults": faults})


def make_diff(row: dict[str, Any]) -> CommitDiff:
    return CommitDiff(
        **{
            **row,
            "files": [FileChange(**one) for one in row["files"]],
            "tensors": [TensorChange(**one) for one in row["tensors"]],
            "metadata": [MetadataChange(**one) for one in row["metadata"]],
        }
    )
