"""Steps of a store, opened by address, for the integrations with frameworks."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Optional, TypeVar

from . import _native
from ._into import read_tensors, saved_row
from ._handlers import Handlers
from ._resume import _filled, _fresh, _Place, _places, _put_back
from ._train_state import Parts
from .checkpoint import Path, Progress
from .errors import CorruptError, KilterError, NotFoundError
from .reports import CommitInfo
from .saver import DamagedStepWarning, Saver
from .store import Store

T = TypeVar("T")
#: Where a step keeps what has no tensors.
REST = "training"
_STORE_FILE = "kilter-store.json"


def split_address(address: Path) -> tuple[str, str]:
    """("runs.kilter", "step:300") of "runs.kilter@step:300"."""
    base, _, ref = os.fspath(address).rpartition("@")
    return (base, ref) if base else (ref, "")


def is_store(address: Path) -> bool:
    """There is a store where this address leads."""
    base, _ = split_address(address)
    if base.startswith("s3://"):
        return True
    return os.path.isfile(os.path.join(base, _STORE_FILE))


class Step:
    """A step, opened for reading. What it reads is checked."""

    def __init__(self, store: Store, info: CommitInfo) -> None:
        self.store = store
        self.step = info.step or 0
        self.commit = info.digest
        self.metadata = info.metadata
        self.checkpoint = store.open(info.digest)._native
        for rule, path, tensor, message in self.checkpoint.findings:
            if rule == "folder.unreadable-file" or rule.startswith("state-json."):
                raise CorruptError(message, path=path, tensor=tensor)

    @property
    def address(self) -> str:
        """For people and for later: by its commit."""
        return f"{self.store.address}@{self.commit[:16]}"

    def state(self, handlers: Handlers) -> dict[str, Any]:
        """The tree as it was saved."""
        tree = dict(self.checkpoint.state(handlers))
        rest = tree.pop(REST, {})
        return {**tree, **rest} if isinstance(rest, dict) else {**tree, REST: rest}

    def read(self, progress: Progress = None, **parts: Any) -> None:
        """Fits strictly and puts these parts back, the random states not among them."""
        _put_back(self, Parts(parts, []), False, progress)

    def _places(self) -> dict[str, Any]:
        return self.state(Handlers(lambda number: _Place(saved_row(self.checkpoint, number))))

    def keys(self) -> list[str]:
        """Names of the parts."""
        return list(self._places())

    def tree(
        self, skip: Any = (), only: Any = None, progress: Progress = None
    ) -> dict[str, Any]:
        """Everything but `skip`, or `only` that, in memory of its own."""
        wanted = {
            key: value
            for key, value in self._places().items()
            if key not in skip and (only is None or key in only)
        }
        pairs = []
        for place in _places(wanted):
            if place.value is None:
                place.value = _fresh(place.row)
                pairs.append((place.row, place.value))
        read_tensors(self.checkpoint, pairs, True, progress)
        filled: dict[str, Any] = _filled(wanted)
        return filled

    def file(self, name: str) -> Optional[bytes]:
        """A file beside the tensors; None where there is none."""
        try:
            return self.store.read_file(self.commit, name)
        except NotFoundError:
            return None


def infos(address: Path) -> Iterator[CommitInfo]:
    """Steps that an address may stand for: the one that it names, or a branch's, newest first."""
    base, ref = split_address(address)
    store = Store(base, mode="open")
    branches = {row.name for row in store.refs() if row.kind == "branch"}
    if ref and ref not in branches:
        yield store.find(ref)
        return
    if not branches or (not ref and "main" not in branches):
        return
    for info in store.log(ref or "main"):
        if info.step is not None and not info.retired:
            yield info


def use_newest(address: Path, use: Callable[[Step], T]) -> Optional[T]:
    """What `use` makes of the newest step that is intact; a damaged one is left for the one before.
    None if nothing was saved yet."""
    base, _ = split_address(address)
    damaged: list[tuple[CommitInfo, KilterError]] = []
    for info in infos(address):
        try:
            made = use(Step(Store(base, mode="open"), info))
        except KilterError as error:
            if not _native.is_damage(error.code):
                raise
            damaged.append((info, error))
            continue
        for worse, why in damaged:
            warnings.warn(
                f"step {worse.step} ({worse.digest[:12]}) is damaged and was left out: {why}",
                DamagedStepWarning,
                stacklevel=3,
            )
        return made
    if damaged:
        raise damaged[0][1]
    return None


def has_steps(address: Path) -> bool:
    """Something was saved that can be resumed from."""
    if not is_store(address):
        return False
    try:
        return next(infos(address), None) is not None
    except NotFoundError:
        return False


def numbered(saved: Mapping[str, Any]) -> dict[str, Any]:
    """An optimizer's state with numbers for names, as torch counts them."""
    numbers: dict[Any, int] = {}
    groups = []
    for group in saved["param_groups"]:
        row = [numbers.setdefault(name, len(numbers)) for name in group["params"]]
        groups.append({**group, "params": row})
    state = {numbers.get(name, name): value for name, value in saved["state"].items()}
    return {**saved, "state": state, "param_groups": groups}


def finish(saver: Optional[Saver]) -> None:
    """Waits for a saver's last step and lets the optimizers go."""
    if saver is not None:
        try:
            saver.wait()
        finally:
            saver.detach()
