"""torch.save and torch.load, safe by construction, and loading straight into a model.

>>> import torch, kilter.torch
>>> model = torch.nn.Linear(2, 1)
>>> kilter.torch.save({"model": model.state_dict(), "epoch": 3}, "torch.pt")
>>> kilter.torch.load("torch.pt")["epoch"]
3
>>> torch.load("torch.pt", weights_only=True)["epoch"]
3
>>> kilter.torch.load_into(model, "torch.pt")
<All keys matched successfully>
"""

from __future__ import annotations

import os
import pickle
import shutil
import tempfile
from collections import OrderedDict
from typing import IO, Any, Callable, Optional, Union

import torch

from . import _native, _torch_views
from ._build import Builder
from ._handlers import Handlers, ordered_dict
from ._into import load_into
from .checkpoint import Checkpoint, Progress
from .errors import ArgumentError, UnsafeError, UnsupportedError
from .resumable import Resumable
from .tensor import Loaded, Storages, Tensor

__all__ = ["Resumable", "load", "load_into", "save"]

FileLike = Union[str, "os.PathLike[str]", IO[bytes]]
MapLocation = Optional[
    Union[
        Callable[[torch.UntypedStorage, str], Optional[torch.UntypedStorage]],
        torch.device,
        str,
        dict[str, str],
    ]
]


def save(
    obj: object,
    f: FileLike,
    pickle_module: Any = pickle,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
    *,
    progress: Progress = None,
) -> None:
    """Writes what torch.load(weights_only=True) reads: the same tree, with shared memory shared.

    As torch.save, but the file appears whole or not at all, is durable when this returns, and no
    pickle module is used: an object of a class that weights-only loading refuses is refused here,
    by its place in the tree. numpy's arrays become tensors, its scalars numbers.

    >>> import torch, kilter.torch
    >>> weight = torch.ones(2, 2)
    >>> kilter.torch.save({"a": weight, "b": weight}, "tied.pt")
    >>> tied = torch.load("tied.pt", weights_only=True)
    >>> tied["a"].data_ptr() == tied["b"].data_ptr()
    True
    """
    _refuse_pickle(pickle_module)
    if not _use_new_zipfile_serialization:
        raise UnsupportedError("torch's file format before 1.6 is read but not written")
    checkpoint = Builder(flags=True, contiguous=False).finish(obj)
    if isinstance(f, (str, os.PathLike)):
        _native.write(checkpoint, os.fspath(f), "torch", True, 0, progress)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "archive.pt")
        _native.write(checkpoint, path, "torch", True, 0, progress)
        with open(path, "rb") as written:
            shutil.copyfileobj(written, f, 1 << 20)


def load(
    f: FileLike,
    map_location: MapLocation = None,
    pickle_module: Any = None,
    *,
    weights_only: Optional[bool] = None,
    mmap: Optional[bool] = None,
    progress: Progress = None,
    **pickle_load_args: Any,
) -> Any:
    """As torch.load, for every format that Kilter reads, and nothing in the file is executed.

    Tensors, Parameters, containers, numbers, numpy's arrays and scalars, and a few types that only
    hold data are built; tensors that shared memory share it again. Anything else is refused with
    its name, whatever ``weights_only`` says (``kilter.open(f).state`` shows it as plain data).
    ``mmap=True`` maps the file instead of reading it; the file must then not be changed in place.
    Encodings of Python 2 need no ``pickle_load_args``.

    >>> import torch, kilter.torch
    >>> kilter.torch.save({"w": torch.arange(3)}, "load-torch.pt")
    >>> kilter.torch.load("load-torch.pt", map_location="cpu")
    {'w': tensor([0, 1, 2])}
    """
    _refuse_pickle(pickle_module)
    unknown = set(pickle_load_args) - {"encoding", "errors", "fix_imports"}
    if unknown:
        raise ArgumentError(f"unknown argument {sorted(unknown)[0]!r}")
    del weights_only  # there is only one way
    if isinstance(f, (str, os.PathLike)):
        return _load_path(os.fspath(f), map_location, bool(mmap), progress)
    with _in_memory(f) as path:
        return _load_path(path, map_location, False, progress)


def _refuse_pickle(module: Any) -> None:
    if module is None or getattr(module, "__name__", "") in ("pickle", "_pickle"):
        return
    raise UnsafeError(
        "a pickle module of your own would run what the file says",
        found=getattr(module, "__name__", repr(module)),
        hint="leave pickle_module out: Kilter reads pickles without running them",
    )


class _in_memory:
    """A file-like object's bytes under a path of their own."""

    def __init__(self, f: IO[bytes]) -> None:
        self._f = f
        self._fd = os.memfd_create("kilter")

    def __enter__(self) -> str:
        with open(os.dup(self._fd), "wb") as copy:
            shutil.copyfileobj(self._f, copy, 1 << 20)
        return f"/proc/self/fd/{self._fd}"

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def _load_path(path: str, map_location: MapLocation, mmap: bool, progress: Progress) -> Any:
    native = _native.open(path, False)
    storages = Loaded(native, mmap, progress)
    checkpoint = Checkpoint(native, storages)
    make = TorchHandlers(checkpoint, map_location)
    if not native.has_state:
        return {name: make.tensor(i) for i, name in enumerate(native.names)}
    return native.state(make)


class TorchHandlers(Handlers):
    """Builds what torch.load would have built, of what only holds data."""

    def __init__(self, checkpoint: Checkpoint, map_location: MapLocation) -> None:
        super().__init__(self._make)
        self._checkpoint = checkpoint
        self._storages: Storages = checkpoint._storages
        self._map_location = map_location
        self._made: dict[int, Any] = {}
        self._placed: dict[int, torch.UntypedStorage] = {}

    def _make(self, number: int) -> Any:
        if number not in self._made:
            self._made[number] = self._new(self._checkpoint._tensor(number))
        return self._made[number]

    def _new(self, tensor: Tensor) -> Any:
        _, device, inline, _ = self._storages.native.storage_info(tensor.storage)
        if inline:  # numpy's, inside a pickle
            return _torch_views.numpy_of(tensor.numpy())
        made = _torch_views.view(self._storages, tensor)
        moved = self._place(tensor, device or "cpu")
        if moved is not None:
            made = torch.empty(0, dtype=made.dtype, device=moved.device).set_(
                moved, made.storage_offset(), made.size(), made.stride()
            )
        if tensor.is_parameter:
            return torch.nn.Parameter(made, requires_grad=tensor.requires_grad)
        return made.requires_grad_() if tensor.requires_grad else made

    def _place(self, tensor: Tensor, location: str) -> Optional[torch.UntypedStorage]:
        """The storage where map_location wants it; None where it may stay."""
        if self._map_location is None and location == "cpu":
            return None
        placed = self._placed.get(tensor.storage)
        if placed is None:
            plain = _torch_views.untyped(self._storages, tensor.storage, tensor.dtype)
            placed = self._placed[tensor.storage] = _moved(plain, location, self._map_location)
        return None if placed.device.type == "cpu" else placed

    def other(self, name: str, args: tuple[Any, ...], state: Any, extra: Any) -> Any:
        made = _REBUILD.get(name)
        if made is None:
            raise UnsafeError(
                f"the file holds an object of the class {name}, which is not built here",
                path=self._checkpoint.path,
                hint="kilter.open(path).state shows it as plain data, and kilter.convert(path, "
                "'weights.safetensors', part='weights') keeps the tensors alone",
            )
        return made(args, state, extra)

    def other_global(self, name: str) -> Any:
        module, _, attribute = name.rpartition(".")
        found = getattr(torch, attribute, None) if module == "torch" else None
        if isinstance(found, (torch.dtype, torch.qscheme, torch.layout)):
            return found
        if name == "torch.Tensor":
            return torch.Tensor
        if name in ("torch.nn.parameter.Parameter", "torch.nn.Parameter"):
            return torch.nn.Parameter
        raise UnsafeError(
            f"the file names the class or function {name}, which is not imported here",
            path=self._checkpoint.path,
            hint="kilter.open(path).state shows it as plain data",
        )


def _moved(
    storage: torch.UntypedStorage, location: str, wanted: MapLocation
) -> torch.UntypedStorage:
    if callable(wanted):
        found = wanted(storage, location)
        if found is not None:
            return found
        target = location
    elif isinstance(wanted, dict):
        target = wanted.get(location, location)
    else:
        target = str(wanted) if wanted is not None else location
    if torch.device(target).type == "cpu":
        return storage
    if target.startswith("cuda") and not torch.cuda.is_available():
        raise ArgumentError(
            f"the file's tensors were on {location!r}, and there is no CUDA device",
            hint="pass map_location='cpu'",
        )
    moved = torch.empty(storage.nbytes(), dtype=torch.uint8, device=target).untyped_storage()
    if moved.device.type != "meta":
        moved.copy_(storage)
    return moved


def _parameter(args: tuple[Any, ...], state: Any, extra: Any) -> Any:
    made = state
    if not isinstance(made, torch.nn.Parameter):
        made = torch.nn.Parameter(state, requires_grad=bool(args[0]))
    if len(args) > 1 and isinstance(args[1], dict):
        made.__dict__.update(args[1])
    return made


def _from_type(args: tuple[Any, ...], state: Any, extra: Any) -> Any:
    kind, attributes = args[0], args[1]
    made = state if kind is torch.Tensor else state.as_subclass(kind)
    if isinstance(attributes, dict):
        made.__dict__.update(attributes)
    return made


def _quantized(args: tuple[Any, ...], state: Any, extra: Any) -> Any:
    values: torch.Tensor = state
    scheme, gradient = args[0], args[-1]
    if extra is None:
        parameters: tuple[Any, ...] = (scheme, args[1], args[2])
    else:
        parameters = (scheme, extra["scales"], extra["zero_points"], args[1])
    rebuild: Any = torch._utils._rebuild_qtensor
    typed: Any = torch.storage.TypedStorage
    return rebuild(
        typed(
            wrap_storage=values.untyped_storage(), dtype=values.dtype, _internal=True
        ),
        values.storage_offset(),
        values.size(),
        values.stride(),
        parameters,
        gradient,
        OrderedDict(),
    )


def _sparse(args: tuple[Any, ...], state: Any, extra: Any) -> Any:
    layout, size = args[0], args[1]
    if layout is torch.sparse_coo:
        made = torch.sparse_coo_tensor(extra["indices"], extra["values"], size, check_invariants=True)
        return made._coalesced_(bool(args[2])) if len(args) > 2 else made
    compressed, plain, values = (extra[key] for key in list(extra))
    return torch.sparse_compressed_tensor(
        compressed, plain, values, size, layout=layout, check_invariants=True
    )


def _layout(args: tuple[Any, ...], state: Any, extra: Any) -> Any:
    found = getattr(torch, str(args[0]).rpartition(".")[2], None)
    if not isinstance(found, torch.layout):
        raise UnsafeError(f"{args[0]!r} is no layout of torch")
    return found


_REBUILD: dict[str, Callable[[tuple[Any, ...], Any, Any], Any]] = {
    "torch.Size": lambda args, state, extra: torch.Size(args[0] if args else ()),
    "torch.device": lambda args, state, extra: torch.device(*args),
    "torch.serialization._get_layout": _layout,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._utils._rebuild_qtensor": _quantized,
    "torch._utils._rebuild_sparse_tensor": _sparse,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "collections.OrderedDict": lambda args, state, extra: ordered_dict(state, extra),
}
