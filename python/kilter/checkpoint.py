"""Checkpoints opened for reading."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional, Union

from . import _native
from ._handlers import Handlers
from ._materialize import materialize
from .errors import ArgumentError
from .tensor import Loaded, Storages, Tensor

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Checkpoint", "Document", "OpenFinding", "load", "open"]

Path = Union[str, "os.PathLike[str]"]
#: Called several times a second with what is being done, bytes done and bytes in all (0: unknown).
Progress = Optional[Callable[[str, int, int], Any]]


class Document(NamedTuple):
    """A small text found beside the weights or inside them: config.json, a model card.

    >>> Document("config.json", "{}").path
    'config.json'
    """

    path: str
    text: str


class OpenFinding(NamedTuple):
    """An oddity seen while opening.

    >>> OpenFinding("zip.local-name-differs", "a.pt", "", "two names").rule
    'zip.local-name-differs'
    """

    rule: str
    path: str
    tensor: str
    message: str


class Checkpoint(Mapping[str, Tensor]):
    """An opened checkpoint: a mapping of names to tensors, in the file's order.

    Opening reads headers alone, and nothing in the file is executed. Safe to use from several
    threads. What it gave out stays alive without it. The file must not be changed in place
    meanwhile (to replace it by another of the same name is fine).

    >>> import kilter, numpy
    >>> kilter.save({"model": {"w": numpy.zeros(3, "float32")}, "step": 7}, "checkpoint.pt")
    >>> with kilter.open("checkpoint.pt") as checkpoint:
    ...     print(checkpoint.format, list(checkpoint), checkpoint.state["step"])
    torch-zip ['model.w'] 7
    """

    def __init__(self, native: _native.Checkpoint, storages: Optional[Storages] = None) -> None:
        self._native = native
        self._storages = storages or Storages(native)
        self._names: dict[str, int] = {name: i for i, name in reversed(list(enumerate(native.names)))}
        self._order: list[str] = native.names

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    @property
    def path(self) -> str:
        """As it was given."""
        return self._native.path

    @property
    def format(self) -> str:
        """Name in the table of formats: "safetensors", "torch-zip", …"""
        return self._native.format

    @property
    def format_detail(self) -> str:
        """Variant of the format, for people."""
        return self._native.format_detail

    @property
    def metadata(self) -> dict[str, str]:
        """What the file states about itself (safetensors' ``__metadata__``)."""
        return dict(self._native.metadata)

    @property
    def documents(self) -> list[Document]:
        """Small texts beside the weights or inside them."""
        return [Document(*row) for row in self._native.documents]

    @property
    def findings(self) -> list[OpenFinding]:
        """Oddities seen while opening."""
        return [OpenFinding(*row) for row in self._native.findings]

    @property
    def ties(self) -> list[tuple[str, str]]:
        """(name, the earlier name of the same tensor)."""
        return list(self._native.ties)

    @property
    def state(self) -> Any:
        """The tree of the file: dictionaries, lists, numbers, texts, and tensors as
        :class:`Tensor`. Objects of classes that do more than hold data stay inert
        (:class:`Object`, :class:`Global`). A file without a tree gives a dictionary of its tensors.
        """
        if not self._native.has_state:
            return dict(self)
        return self._native.state(Handlers(self._tensor))

    def _tensor(self, number: int) -> Tensor:
        return Tensor(self._storages, number)

    def __getitem__(self, name: str) -> Tensor:
        number = self._names.get(name)
        return self._tensor(self._native.find(name) if number is None else number)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._order)

    def __len__(self) -> int:
        return len(self._order)

    def __repr__(self) -> str:
        return f"<kilter.Checkpoint {self.path!r}: {self.format}, {len(self)} tensors>"

    def read(
        self, name: str, start: Optional[int] = None, stop: Optional[int] = None
    ) -> npt.NDArray[Any]:
        """A copy of a tensor, or of rows [start, stop) of its first dimension.

        >>> import kilter, numpy
        >>> kilter.save({"w": numpy.arange(4.0)}, "read.safetensors")
        >>> kilter.open("read.safetensors").read("w", 1, 3)
        array([1., 2.])
        """
        tensor = self[name]
        if start is None and stop is None:
            copy: npt.NDArray[Any] = tensor.numpy().copy()
            return copy
        return tensor.rows(start or 0, tensor.shape[0] if stop is None else stop)


def open(address: Path, *, lenient: bool = False) -> Checkpoint:
    """Opens a file or folder of any known format, or an address in a store ("runs.kilter@v1").

    The format is recognized by content. ``lenient`` opens damaged files as far as they are intact.

    >>> import kilter, numpy
    >>> kilter.save({"w": numpy.ones(2)}, "open.safetensors")
    >>> kilter.open("open.safetensors")["w"].numpy()
    array([1., 1.])
    """
    return Checkpoint(_native.open(os.fspath(address), lenient))


def load(
    address: Path,
    *,
    framework: str = "numpy",
    mmap: bool = False,
    progress: Progress = None,
) -> Any:
    """The whole checkpoint: its tree with tensors as numpy arrays or torch tensors.

    A file that is a flat collection of tensors gives a dictionary. Tensors that share memory in the
    file share it here. ``mmap`` maps the file instead of reading it (see :func:`open`).

    >>> import kilter, numpy
    >>> kilter.save({"model": {"w": numpy.ones(2)}, "step": 7}, "load.pt")
    >>> kilter.load("load.pt")
    {'model': {'w': array([1., 1.])}, 'step': 7}
    """
    if framework not in ("numpy", "torch"):
        raise ArgumentError(
            "unknown framework", expected="'numpy' or 'torch'", found=repr(framework)
        )
    native = _native.open(os.fspath(address), False)
    storages = Loaded(native, mmap, progress)
    return materialize(Checkpoint(native, storages), framework)
