"""Saving while training goes on, and resuming exactly."""

from __future__ import annotations

import atexit
import os
import warnings
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Optional, Union

from . import _native
from ._build import Builder
from ._train_state import Gathered, Parts, gather
from .checkpoint import Path, Progress
from .errors import ArgumentError, KilterError
from .store import best_rules

__all__ = ["DamagedStepWarning", "Keep", "Resumed", "Saver", "Ticket"]


class DamagedStepWarning(UserWarning):
    """A step could not be used; an older one was.

    >>> issubclass(DamagedStepWarning, UserWarning)
    True
    """


@dataclass(frozen=True)
class Keep:
    """Which steps stay: whatever any rule keeps. The newest always does.

    ``best``: keys such as "loss" (lowest) or "-accuracy" (highest), or (count, key).

    >>> Keep(last=3, every=1000, best="loss")
    Keep(last=3, every=1000, best='loss', tagged=False)
    """

    last: Optional[int] = None
    every: Optional[int] = None
    best: Union[str, Iterable[Union[str, tuple[int, str]]]] = ()
    tagged: bool = False


@dataclass(frozen=True)
class SaveReport:
    """What became of a save. ``skipped``: nothing was saved, for lack of time or room."""

    step: int
    skipped: bool
    commit: str
    bytes: int
    new_bytes: int
    stored_bytes: int
    staged_bytes: int
    pause_seconds: float
    seconds: float


@dataclass(frozen=True)
class Resumed:
    """What :meth:`Saver.resume` put back. ``damaged``: newer steps, each with what is wrong.

    >>> Resumed(0, "", {}, []).step
    0
    """

    step: int
    commit: str
    metadata: dict[str, Any]
    damaged: list[tuple[int, str, KilterError]]


class Ticket:
    """One save on its way. From any thread.

    >>> import kilter, torch
    >>> model = torch.nn.Linear(2, 1)
    >>> ticket = kilter.Saver("ticket.kilter").save(1, model=model)
    >>> ticket.wait().step, ticket.done
    (1, True)
    """

    def __init__(self, native: _native.SaveTicket) -> None:
        self._native = native

    @property
    def done(self) -> bool:
        """It is durable, or has failed."""
        return self._native.done

    def wait(self) -> SaveReport:
        """Waits until it is durable. Raises what went wrong."""
        report = self.wait_for(None)
        assert report is not None
        return report

    def wait_for(self, seconds: Optional[float]) -> Optional[SaveReport]:
        """The same for at most so long; None if it is not done by then."""
        while True:
            row = self._native.wait(seconds)
            if row is not None:
                return SaveReport(**row)
            if seconds is not None:
                return None


class Saver:
    """Saves the state of a training run while it goes on, and resumes it exactly.

    ``address`` is a store ("runs.kilter", "s3://bucket/runs.kilter"), which is made if it is
    missing, or with ``plain_folder`` a folder that gets a folder for each step. ``keep`` says which
    steps stay: a :class:`Keep`, or the number of newest ones.

    >>> import kilter, torch
    >>> model = torch.nn.Linear(4, 1)
    >>> optimizer = torch.optim.AdamW(model.parameters())
    >>> saver = kilter.Saver("saver.kilter", keep=kilter.Keep(last=3, best="loss"))
    >>> saver.attach(optimizer)
    >>> for step in range(saver.resume(model=model, optimizer=optimizer), 3):
    ...     loss = model(torch.ones(2, 4)).sum()
    ...     loss.backward()
    ...     optimizer.step()
    ...     ticket = saver.save(step + 1, model=model, optimizer=optimizer, loss=loss)
    >>> saver.wait()
    >>> fresh = torch.nn.Linear(4, 1)
    >>> kilter.Saver("saver.kilter").resume(model=fresh)
    3
    >>> torch.equal(fresh.weight, model.weight)
    True

    What ``save`` and ``resume`` take, by name:

    - ``model``, ``optimizer``, ``scheduler``, ``scaler``, ``data`` and whatever else has
      ``state_dict()`` and ``load_state_dict()``; optimizers name their parameters as the model does.
    - tensors and dictionaries or lists of them, taken and put back in place;
    - numbers and texts: they become the step's metadata ("best:loss" finds them).

    The random states of Python, numpy and torch (every device) are saved and put back, unless
    ``rng=False``.
    """

    def __init__(
        self,
        address: Path,
        *,
        keep: Union[None, int, Keep, Mapping[str, Any]] = None,
        branch: str = "main",
        plain_folder: bool = False,
        author: str = "",
        staging_bytes_max: int = 1 << 30,
        skip_when_full: bool = False,
        skip_when_busy: bool = False,
        coding: str = "raw",
        thread_count: int = 0,
        write_memory_bytes: int = 96 << 20,
        rng: bool = True,
    ) -> None:
        rules = _keep(keep)
        self._address = os.fspath(address)
        self._rng = rng
        self._attached: list[Any] = []
        self._handles: list[Any] = []
        self._alive: Any = None
        self._options: tuple[Any, ...] = (
            staging_bytes_max,
            skip_when_full,
            skip_when_busy,
            coding,
            thread_count,
            write_memory_bytes,
            rules.last,
            rules.every,
            best_rules(rules.best),
            rules.tagged,
        )
        self._place = (plain_folder, branch, author)
        self._native = self._open(False)
        #: What the last resume() did.
        self.resumed: Optional[Resumed] = None
        _finish_at_exit(self)

    def _open(self, announces: bool) -> _native.Saver:
        return _native.open_saver(self._address, *self._place, announces, *self._options)

    def __repr__(self) -> str:
        return f"kilter.Saver({self._address!r})"

    def attach(self, *optimizers: Any) -> None:
        """Calls :meth:`before_update` ahead of every step of these optimizers.

        Their parameters and state are then written straight from memory while training goes on; a
        step copies only what is not yet written. Whoever else changes them between ``save`` and the
        step calls ``before_update()`` himself.
        """
        if not self._attached:
            self._native.wait()
            self._native = self._open(True)
        for optimizer in optimizers:
            if not hasattr(optimizer, "register_step_pre_hook"):
                raise ArgumentError(
                    "this is no torch optimizer",
                    expected="register_step_pre_hook()",
                    found=type(optimizer).__name__,
                    hint="call saver.before_update() before each update instead",
                )
            self._attached.append(optimizer)
            self._handles.append(optimizer.register_step_pre_hook(_BeforeStep(self)))

    def detach(self) -> None:
        """Takes the hooks off again."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        if self._attached:
            self._attached.clear()
            self._native.wait()
            self._native = self._open(False)

    def before_update(self) -> None:
        """Call it right before anything changes that an attached optimizer owns. Quick where
        nothing is being saved. Raises the error of an earlier save, once."""
        self._native.before_update()

    def save(
        self,
        step: int,
        *,
        metadata: Optional[Mapping[str, Any]] = None,
        files: Optional[Mapping[str, Union[str, bytes]]] = None,
        **parts: Any,
    ) -> Ticket:
        """Begins to save and returns. Values are taken as they are now. ``files`` are small ones
        that lie beside the tensors ("config.json"), so that a step can be used as it is.

        Raises the error of an earlier save, once: call again to save.
        """
        gathered = self._gather(step, parts, metadata, files)
        ticket = self._native.save(step, gathered.native, gathered.root, gathered.metadata)
        self._alive = gathered  # until the next save, or the end: memory that is being written
        return Ticket(ticket)

    def prepare(self, **parts: Any) -> None:
        """Takes the memory that saving these needs, so that the first save is like the rest."""
        gathered = self._gather(0, parts, None)
        self._native.prepare(gathered.native, gathered.root)

    def wait(self) -> None:
        """Everything that was begun is durable. Raises the error of an earlier save, once."""
        self._native.wait()
        self._alive = None

    def resume(self, *, progress: Progress = None, **parts: Any) -> int:
        """Puts the newest intact step back and returns it; 0 if nothing was saved yet.

        What is given is fitted strictly: every name, dtype and shape that differs is listed in one
        :class:`kilter.MismatchError`, before anything is changed. Parts of the step that are not
        given are left alone. A damaged step is left for the one before, with a
        :class:`DamagedStepWarning`; :attr:`resumed` has the details.
        """
        from ._resume import resume

        state = Parts(parts, self._attached)
        self.resumed = resume(self._native, state, self._rng, progress)
        for step, commit, error in self.resumed.damaged:
            warnings.warn(
                f"step {step} ({commit[:12]}) is damaged and was left out: {error}",
                DamagedStepWarning,
                stacklevel=2,
            )
        return self.resumed.step

    def _gather(
        self,
        step: int,
        parts: Mapping[str, Any],
        metadata: Optional[Mapping[str, Any]],
        files: Optional[Mapping[str, Union[str, bytes]]] = None,
    ) -> Gathered:
        state = Parts(parts, self._attached)
        builder = Builder(flags=False, contiguous=False)
        for name, content in (files or {}).items():
            builder.native.file(name, content.encode() if isinstance(content, str) else content)
        return gather(builder, step, state, self._rng, metadata or {})

    # Preemption --------------------------------------------------------------

    @staticmethod
    def watch_preemption() -> None:
        """From now on SIGTERM sets :attr:`preempted` instead of ending the process."""
        _native.watch_preemption()

    @property
    def preempted(self) -> bool:
        """SIGTERM came."""
        return bool(_native.preempted())

    def on_preempt(
        self,
        step: int,
        seconds: float,
        *,
        metadata: Optional[Mapping[str, Any]] = None,
        files: Optional[Mapping[str, Union[str, bytes]]] = None,
        **parts: Any,
    ) -> SaveReport:
        """Finishes the save that is running, then saves this step if there is time for it. Raises
        :class:`kilter.CancelledError` if it is not durable by then."""
        gathered = self._gather(step, parts, metadata, files)
        self._alive = (self._alive, gathered)
        row = self._native.on_preempt(
            step, gathered.native, gathered.root, seconds, gathered.metadata
        )
        return SaveReport(**row)


class _BeforeStep:
    """An optimizer's hook, which does not keep the saver alive and is not pickled with it."""

    def __init__(self, saver: Saver) -> None:
        self._saver = weakref.ref(saver)

    def __call__(self, *_: Any) -> None:
        saver = self._saver()
        if saver is not None:
            saver.before_update()

    def __reduce__(self) -> tuple[Any, ...]:
        return _nothing, ()

    def __deepcopy__(self, memo: Any) -> Any:
        return _nothing()


class _Nothing:
    def __call__(self, *_: Any) -> None:
        return None


def _nothing() -> _Nothing:
    return _Nothing()


def _keep(keep: Union[None, int, Keep, Mapping[str, Any]]) -> Keep:
    if keep is None:
        return Keep()
    if isinstance(keep, Keep):
        return keep
    if isinstance(keep, int):
        return Keep(last=keep)
    return Keep(**keep)


def _finish_at_exit(saver: Saver) -> None:
    """A save that is under way when the interpreter ends is finished; its error is shown."""
    weak, process = weakref.ref(saver), os.getpid()

    def finish() -> None:
        alive = weak()
        if alive is not None and os.getpid() == process:
            alive.wait()

    atexit.register(finish)
    weakref.finalize(saver, atexit.unregister, finish)
