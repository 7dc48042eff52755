"""Stores: the place where checkpoints live."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Optional, Union

from . import _native
from .checkpoint import Checkpoint, Path, Progress
from .errors import ArgumentError
from .reports import (
    CheckReport,
    CollectReport,
    CommitDetails,
    CommitDiff,
    CommitInfo,
    CompactReport,
    FormStats,
    Lineage,
    RepairReport,
    RestoreOutcome,
    RetainReport,
    SaveOutcome,
    SeriesItem,
    StoredFile,
    StoredTensor,
    StoreRef,
    StoreStats,
    TransferReport,
    make_check,
    make_diff,
)

__all__ = ["Store", "find_series"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MEMORY = 512 << 20
Best = Union[str, tuple[int, str]]


class Store:
    """A store: a folder, or "s3://bucket/prefix" with the usual AWS variables.

    ``commit`` is what stands behind the '@' of an address: a branch, a tag, the first digits of a
    digest, "step:1200", "best:loss", "best:-accuracy", "time:2026-11-01", each with "~3" for three
    before it; "" is the tip of the default branch. Safe to use from several threads and beside
    other processes. Every byte that is read is checked against its name.

    >>> import kilter, numpy
    >>> kilter.save({"w": numpy.ones(4)}, "model.safetensors")
    >>> store = kilter.Store("runs.kilter")
    >>> saved = store.save("model.safetensors", metadata={"step": 100, "loss": 1.5})
    >>> store.find("best:loss").metadata["step"]
    100
    >>> store.open("step:100")["w"].numpy()
    array([1., 1., 1., 1.])
    """

    def __init__(self, address: Path, *, mode: str = "open_or_create") -> None:
        """``mode``: "open_or_create", "open" (there must be one) or "create" (there must be none)."""
        if mode not in ("open_or_create", "open", "create"):
            raise ArgumentError(
                "unknown mode", expected="'open_or_create', 'open' or 'create'", found=repr(mode)
            )
        self._native = _native.open_store(os.fspath(address), mode)

    @property
    def address(self) -> str:
        """Where it lies."""
        return self._native.address

    def __repr__(self) -> str:
        return f"kilter.Store({self.address!r})"

    # Saving and restoring ----------------------------------------------------

    def save(
        self,
        source: Path,
        *,
        branch: str = "main",
        tags: Iterable[str] = (),
        parent: str = "",
        author: str = "",
        message: str = "",
        metadata: Optional[Mapping[str, Any]] = None,
        lineage: Iterable[Lineage] = (),
        skip: Iterable[str] = (),
        time: Optional[datetime] = None,
        fast: bool = False,
        skip_unchanged: bool = False,
        skip_present: bool = False,
        thread_count: int = 0,
        max_memory_bytes: int = _MEMORY,
        progress: Progress = None,
    ) -> SaveOutcome:
        """Saves a file, a folder or an address in a store. Durable when it returns.

        ``metadata`` wins over what the files state. ``fast`` leaves data uncompressed where
        compressing would keep the disk waiting. ``skip_unchanged`` does not read files again that
        have not changed; ``skip_present`` writes nothing if the branch has the same already.
        """
        row = self._native.save(
            os.fspath(source),
            branch,
            list(tags),
            parent,
            author,
            message,
            dict(metadata or {}),
            [vars(one) for one in lineage],
            list(skip),
            None if time is None else _unix_ns(time),
            fast,
            skip_unchanged,
            skip_present,
            thread_count,
            max_memory_bytes,
            progress,
        )
        return SaveOutcome(**row)

    def restore(
        self,
        commit: str,
        target: Path,
        *,
        only: Iterable[str] = (),
        as_format: str = "",
        force: bool = False,
        thread_count: int = 0,
        max_memory_bytes: int = _MEMORY,
        progress: Progress = None,
    ) -> RestoreOutcome:
        """Writes a commit's files, byte for byte; with ``only`` (globs of tensors) or ``as_format``
        its tensors alone, as :func:`kilter.convert` does. Whole or not at all."""
        row = self._native.restore(
            commit,
            os.fspath(target),
            list(only),
            as_format,
            force,
            thread_count,
            max_memory_bytes,
            progress,
        )
        return RestoreOutcome(**row)

    # Looking -----------------------------------------------------------------

    def log(
        self, commit: str = "", *, where: str = "", count_max: Optional[int] = None
    ) -> list[CommitInfo]:
        """What leads to a commit ("": all that branches and tags lead to), newest first.

        ``where`` is a condition: "loss<2 and step>1000"."""
        return [CommitInfo(**row) for row in self._native.log(commit, where, count_max)]

    def find(self, commit: str = "") -> CommitInfo:
        """The commit of that name."""
        return CommitInfo(**self._native.find(commit))

    def show(self, commit: str = "") -> CommitDetails:
        """Everything a commit says."""
        row = self._native.show(commit)
        info = CommitInfo(**row["info"])
        lineage = [Lineage(**one) for one in row["lineage"]]
        return CommitDetails(**{**row, "info": info, "lineage": lineage})

    def files(self, commit: str = "") -> list[StoredFile]:
        """A commit's files."""
        return [StoredFile(**row) for row in self._native.files(commit)]

    def tensors(self, commit: str = "") -> list[StoredTensor]:
        """Runs of tensor data that are stored by themselves (:meth:`open` knows small ones too)."""
        return [StoredTensor(**row) for row in self._native.tensors(commit)]

    def read_file(self, commit: str, path: str) -> bytes:
        """One file, whole."""
        return self._native.read_file(commit, path)

    def open(self, commit: str = "") -> Checkpoint:
        """The commit, or a file or folder in it ("v1/model.pt"), as any other checkpoint."""
        return Checkpoint(self._native.open(commit))

    def diff(self, before: str, after: str, *, other: Optional[Store] = None) -> CommitDiff:
        """Compares two commits, the second perhaps of another store, by names of chunks."""
        return make_diff(self._native.diff(before, after, other._native if other else None))

    def stats(self, *, progress: Progress = None) -> StoreStats:
        """What the store holds, and how."""
        row = self._native.stats(progress)
        return StoreStats(**{**row, "forms": [FormStats(**one) for one in row["forms"]]})

    # Branches and tags -------------------------------------------------------

    def refs(self) -> list[StoreRef]:
        """Branches, then tags, by name."""
        return [StoreRef(**row) for row in self._native.refs()]

    def set_tag(self, name: str, commit: str = "", *, force: bool = False) -> None:
        """Names a commit; ``force`` moves a tag that stands elsewhere."""
        self._native.set_tag(name, commit, force)

    def set_branch(self, name: str, commit: str = "", *, force: bool = False) -> None:
        """Makes a branch end at a commit."""
        self._native.set_branch(name, commit, force)

    def remove_tag(self, name: str) -> None:
        """Removes the name alone."""
        self._native.remove_tag(name)

    def remove_branch(self, name: str) -> None:
        """Removes the name alone; what no other leads to goes at the next collect()."""
        self._native.remove_branch(name)

    # Upkeep ------------------------------------------------------------------

    def remove(self, commit: str) -> CommitInfo:
        """Gives up the data of one commit, not its record."""
        return CommitInfo(**self._native.remove(commit))

    def retain(
        self,
        *,
        last: Optional[int] = None,
        every: Optional[int] = None,
        best: Iterable[Best] = (),
        tagged: bool = False,
        dry_run: bool = False,
    ) -> RetainReport:
        """Gives up the data of what no rule keeps; tips of branches always stay.

        ``best``: keys such as "loss" (lowest) or "-accuracy" (highest), or (count, key).
        """
        row = self._native.retain(last, every, best_rules(best), tagged, dry_run)
        return RetainReport(
            [(CommitInfo(**commit), reason) for commit, reason in row["kept"]],
            [CommitInfo(**commit) for commit in row["retired"]],
        )

    def collect(self, *, dry_run: bool = False, progress: Progress = None) -> CollectReport:
        """Frees what nothing needs, beside writers."""
        return CollectReport(**self._native.collect(dry_run, progress))

    def compact(
        self,
        *,
        dry_run: bool = False,
        chain_max: int = 16,
        thread_count: int = 0,
        max_memory_bytes: int = _MEMORY,
        progress: Progress = None,
    ) -> CompactReport:
        """Looks for the smallest form of everything. What is done stays done."""
        row = self._native.compact(dry_run, chain_max, thread_count, max_memory_bytes, progress)
        return CompactReport(**{**row, "collected": CollectReport(**row["collected"])})

    def check(
        self,
        *,
        data: bool = False,
        thread_count: int = 0,
        max_memory_bytes: int = _MEMORY,
        progress: Progress = None,
    ) -> CheckReport:
        """Looks for damage: a report, not an error. ``data`` reads and decodes every chunk."""
        return make_check(self._native.check(data, thread_count, max_memory_bytes, progress))

    @staticmethod
    def repair(
        address: Path,
        *,
        copy: Optional[Path] = None,
        dry_run: bool = False,
        progress: Progress = None,
    ) -> RepairReport:
        """Mends a store, also one that cannot be opened; ``copy`` may have what is missing."""
        source = "" if copy is None else os.fspath(copy)
        row = _native.repair_store(os.fspath(address), source, dry_run, progress)
        return RepairReport(**{**row, "after": make_check(row["after"])})

    def push(
        self,
        to: Path,
        *,
        ref: str = "",
        force: bool = False,
        dry_run: bool = False,
        progress: Progress = None,
    ) -> TransferReport:
        """Copies what is missing to another store, which is made if it does not exist."""
        return _transfer(self._native.push(os.fspath(to), ref, force, dry_run, progress))

    def pull(
        self,
        source: Path,
        *,
        ref: str = "",
        force: bool = False,
        dry_run: bool = False,
        progress: Progress = None,
    ) -> TransferReport:
        """Copies what is missing here from another store."""
        return _transfer(self._native.pull(os.fspath(source), ref, force, dry_run, progress))


def find_series(patterns: Union[Path, Iterable[Path]], skip: Iterable[str] = ()) -> list[SeriesItem]:
    """What paths and patterns ("run/checkpoint-*") lead to, in the order of their steps.

    >>> import kilter, numpy
    >>> for step in (20, 100):
    ...     kilter.save({"w": numpy.ones(2), "step": step}, f"series-{step}.pt")
    >>> [item.metadata["step"] for item in kilter.find_series("series-*.pt")]
    [20, 100]
    """
    many = [patterns] if isinstance(patterns, (str, os.PathLike)) else list(patterns)
    rows = _native.find_series([os.fspath(one) for one in many], list(skip))
    return [SeriesItem(*row) for row in rows]


def best_rules(best: Iterable[Best]) -> list[tuple[int, str, bool]]:
    """(count, key, highest) of "loss", "-accuracy" or (2, "loss")."""
    rules = []
    for rule in best if not isinstance(best, str) else [best]:
        count, key = (1, rule) if isinstance(rule, str) else rule
        rules.append((count, key.removeprefix("-"), key.startswith("-")))
    return rules


def _transfer(row: dict[str, Any]) -> TransferReport:
    return TransferReport(**{**row, "moved": [StoreRef(**one) for one in row["moved"]]})


def _unix_ns(time: datetime) -> int:
    if time.tzinfo is None:
        raise ArgumentError("the time has no zone", hint="datetime.now(timezone.utc)")
    return (time - _EPOCH) // timedelta(microseconds=1) * 1000
