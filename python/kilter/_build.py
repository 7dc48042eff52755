"""Live values as a checkpoint that can be written: the way in of every save."""

from __future__ import annotations

import argparse
import os
import sys
import types
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from . import _dtypes, _native
from ._inert import Global, Object
from .errors import LimitError, UnsupportedError
from .tensor import Tensor

if TYPE_CHECKING:
    import torch

REQUIRES_GRAD, PARAMETER, CONJUGATE, NEGATIVE, HELD = 1, 2, 4, 8, 16
_DEPTH_MAX = 150
#: Dtypes that are neither quantized nor packed.
_FAST = {"bool", "u8", "i8", "i16", "i32", "i64", "f16", "bf16", "f32", "f64"}


class Builder:
    """Walks a tree of Python values into a native StateBuilder.

    ``flags``: keep requires_grad and Parameter. ``contiguous``: copy tensors whose elements lie
    apart, for formats that have no strides. Keeps everything alive that the engine will read.
    """

    def __init__(self, *, flags: bool, contiguous: bool) -> None:
        self.native = _native.StateBuilder()
        self._flags = flags
        self._contiguous = contiguous
        self._alive: list[Any] = []
        self._nodes: dict[int, int] = {}
        self._open: set[int] = set()
        self._storages: dict[tuple[int, int], int] = {}
        self._names: set[str] = set()
        #: Addresses of tensors that stay as they are until Saver.before_update().
        self.held: Optional[set[int]] = None

    def finish(self, tree: Any) -> _native.Checkpoint:
        """The tree as a checkpoint; its tensors are still the caller's memory."""
        return self.native.finish(self.node(tree, ()))

    def node(self, value: Any, path: tuple[str, ...]) -> int:
        """The node that stands for `value`; the same one for the same object."""
        known = self._nodes.get(id(value))
        if known is not None:
            return known
        if id(value) in self._open:
            raise self._refuse("a tuple or object that contains itself", path)
        if len(path) > _DEPTH_MAX:
            raise LimitError(f"nested more than {_DEPTH_MAX} levels deep", tensor=".".join(path[:8]))
        made = self._leaf(value)
        if made is None:
            self._open.add(id(value))
            made = self._compound(value, path)
            self._open.discard(id(value))
            self._nodes[id(value)] = made
            self._alive.append(value)  # its id stays its own
        return made

    def _leaf(self, value: Any) -> Optional[int]:
        native = self.native
        kind = type(value)
        if value is None:
            return native.none()
        if kind is bool:
            return native.bool_(value)
        if kind is int:
            return _integer(native, value)
        if kind is float:
            return native.float_(value)
        if kind is str:
            return native.str_(value.encode("utf-8", "surrogatepass"))
        if kind is complex:
            return native.complex_(value.real, value.imag)
        if kind is bytes:
            return native.bytes_(value)
        return None

    def _compound(self, value: Any, path: tuple[str, ...]) -> int:
        if isinstance(value, (list, tuple, set, frozenset)):
            return self._sequence(value, path)
        if isinstance(value, (dict, Mapping)):
            return self._mapping(value, path)
        if isinstance(value, np.ndarray):
            return self._array(value, path)
        if isinstance(value, np.generic):
            leaf = self._leaf(value.item()) if value.dtype.kind in "biufc" else None
            return self._array(np.asarray(value), path) if leaf is None else leaf
        if isinstance(value, Tensor):
            return self._array(value.numpy(), path, dtype=value.dtype, shape=value.shape)
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.Tensor):
            return self._torch_tensor(value, path)
        made = self._known_object(value, path)
        if made is None:
            raise self._refuse(f"an object of the class {_name_of(type(value))}", path)
        return made

    def _refuse(self, what: str, path: tuple[str, ...]) -> UnsupportedError:
        where = ".".join(path) or "the top"
        return UnsupportedError(
            f"{what} cannot be saved (at {where})",
            expected="tensors, numbers, texts, bytes, and lists, tuples, sets and dictionaries of them",
            hint="save its state_dict(), or the numbers it is made of",
        )

    def _sequence(self, value: Any, path: tuple[str, ...]) -> int:
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.Size):
            items = [self.native.int_(size) for size in value]
            return self.native.object_("torch.Size", [self.native.tuple_(items)])
        if isinstance(value, list):
            made = self.native.list_()
            self._nodes[id(value)] = made
            self._alive.append(value)
            self.native.fill(made, self._items(value, path))
            return made
        items = self._items(value, path)
        if isinstance(value, tuple):
            return self.native.tuple_(items)
        return self.native.set_(items, isinstance(value, frozenset))

    def _items(self, values: Any, path: tuple[str, ...]) -> list[int]:
        return [self.node(item, (*path, str(i))) for i, item in enumerate(values)]

    def _mapping(self, value: Any, path: tuple[str, ...]) -> int:
        entries = self.native.dict_()
        kind = type(value)
        node = entries
        if kind is OrderedDict or kind is Counter:
            attributes = getattr(value, "__dict__", None)
            state = self.node(dict(attributes), (*path, "__dict__")) if attributes else -1
            node = self.native.object_(f"collections.{kind.__name__}", [], state, entries)
        elif isinstance(value, defaultdict):
            factory = self.node(value.default_factory, path)
            node = self.native.object_("collections.defaultdict", [factory], -1, entries)
        self._nodes[id(value)] = node
        self._alive.append(value)
        flat: list[int] = []
        for key, item in value.items():
            flat.append(self.node(key, (*path, "keys")))
            flat.append(self.node(item, (*path, str(key))))
        self.native.fill(entries, flat)
        return node

    def _known_object(self, value: Any, path: tuple[str, ...]) -> Optional[int]:
        native = self.native
        if isinstance(value, bytearray):
            return native.object_("builtins.bytearray", [native.bytes_(bytes(value))])
        if isinstance(value, (argparse.Namespace, types.SimpleNamespace)):
            state = self.node(dict(vars(value)), path)
            return native.object_(_name_of(type(value)), [], state)
        if isinstance(value, Global):
            return native.global_(value.name)
        if isinstance(value, Object):
            args = [self.node(arg, (*path, "args")) for arg in value.args]
            state = -1 if value.state is None else self.node(value.state, (*path, "state"))
            extra = -1 if value.extra is None else self.node(value.extra, (*path, "extra"))
            return native.object_(value.name, args, state, extra)
        if isinstance(value, type) and value in (list, dict, set, int, float, str, tuple):
            return native.global_(f"builtins.{value.__name__}")
        if isinstance(value, os.PathLike):
            return native.object_("pathlib.PosixPath", [self.node(os.fspath(value), path)])
        return self._torch_object(value)

    def _torch_object(self, value: Any) -> Optional[int]:
        torch = sys.modules.get("torch")
        if torch is None:
            return None
        if isinstance(value, (torch.dtype, torch.qscheme)):
            return self.native.global_(str(value))
        if isinstance(value, torch.device):
            args: list[Any] = [value.type] if value.index is None else [value.type, value.index]
            return self.native.object_("torch.device", [self.node(arg, ()) for arg in args])
        if isinstance(value, torch.layout):
            name = self.node(str(value), ())
            return self.native.object_("torch.serialization._get_layout", [name])
        return None

    # Tensors -----------------------------------------------------------------

    def _name(self, path: tuple[str, ...]) -> str:
        name = ".".join(path) or "tensor"
        unique, count = name, 1
        while unique in self._names:
            count += 1
            unique = f"{name}#{count}"
        self._names.add(unique)
        return unique

    def _storage(self, address: int, size: int) -> int:
        found = self._storages.get((address, size))
        if found is None:
            found = self._storages[(address, size)] = self.native.storage(address, size)
        return found

    def _array(
        self,
        array: Any,
        path: tuple[str, ...],
        dtype: Optional[str] = None,
        shape: Optional[tuple[int, ...]] = None,
    ) -> int:
        plain = array.dtype.newbyteorder("<") if array.dtype.byteorder == ">" else array.dtype
        name = dtype or _dtypes.name_of_numpy(plain)
        if name is None:
            raise self._refuse(f"an array of the dtype {array.dtype}", path)
        array = np.ascontiguousarray(array, dtype=plain).reshape(array.shape)
        self._alive.append(array)
        storage = self._storage(array.ctypes.data, array.nbytes)
        shape = array.shape if shape is None else shape
        number = self.native.tensor(
            self._name(path), name, list(shape), contiguous_strides(shape), storage, 0, 0
        )
        return self.native.tensor_node(number)

    def _live_tensor(self, tensor: torch.Tensor, dtype: str) -> int:
        """For the saver, where names are paths and a training run stands still meanwhile."""
        self._alive.append(tensor)
        address = tensor.data_ptr()
        flags = HELD if self.held is not None and address in self.held else 0
        return self.native.live_tensor(dtype, list(tensor.shape), address, tensor.nbytes, flags)

    def _torch_tensor(self, tensor: torch.Tensor, path: tuple[str, ...]) -> int:
        if self.held is not None and type(tensor) in self._plain_types():
            dtype = _dtypes.name_of_torch(tensor.dtype)
            plain = tensor.device.type == "cpu" and tensor.layout is sys.modules["torch"].strided
            if plain and dtype in _FAST and tensor.is_contiguous() and not tensor.is_neg():
                return self._live_tensor(tensor, dtype)
        return self._any_torch_tensor(tensor, path)

    @staticmethod
    def _plain_types() -> tuple[type, ...]:
        torch = sys.modules["torch"]
        return (torch.Tensor, torch.nn.Parameter)

    def _any_torch_tensor(self, tensor: torch.Tensor, path: tuple[str, ...]) -> int:
        import torch

        dtype = _dtypes.name_of_torch(tensor.dtype)
        odd = tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta
        if odd or dtype is None or tensor.is_nested:
            kind = "quantized" if tensor.is_quantized else str(tensor.layout).rpartition(".")[2]
            raise self._refuse(f"a tensor that is {kind} or without data ({tensor.dtype})", path)
        flags = self._flags_of(tensor)
        view = tensor.detach()
        if view.device.type != "cpu":
            view = view.cpu()
        if self._contiguous and not view.is_contiguous():
            view = view.contiguous()
        if self.held is not None:
            view = view.resolve_conj().resolve_neg()
            flags |= HELD if tensor.data_ptr() in self.held else 0
        flags |= (CONJUGATE if view.is_conj() else 0) | (NEGATIVE if view.is_neg() else 0)
        storage = view.untyped_storage()
        self._alive.append((view, storage))
        shape, strides, offset = list(view.shape), list(view.stride()), int(view.storage_offset())
        if dtype == "f4_e2m1":  # torch counts pairs
            shape = [*shape[:-1], shape[-1] * 2] if shape else [2]
            strides = [*(stride * 2 for stride in strides[:-1]), 1]
            offset *= 2
        number = self.native.tensor(
            self._name(path),
            dtype,
            shape,
            strides,
            self._storage(storage.data_ptr(), storage.nbytes()),
            offset,
            flags,
        )
        return self.native.tensor_node(number)

    def _flags_of(self, tensor: torch.Tensor) -> int:
        import torch

        if not self._flags:
            return 0
        parameter = PARAMETER if isinstance(tensor, torch.nn.Parameter) else 0
        return parameter | (REQUIRES_GRAD if tensor.requires_grad else 0)


def contiguous_strides(shape: Any) -> list[int]:
    """C-order strides in elements."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(1, size)
    return strides[::-1]


def _integer(native: _native.StateBuilder, value: int) -> int:
    if -(1 << 63) <= value < 1 << 63:
        return native.int_(value)
    try:
        return native.big_int(str(value))
    except ValueError as error:  # longer than Python writes in decimal
        raise UnsupportedError("an integer with thousands of digits cannot be saved") from error


def _name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
