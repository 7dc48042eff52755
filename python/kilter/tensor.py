"""A tensor of a checkpoint, read when it is used."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Callable, Optional

import numpy as np

from . import _dtypes, _native

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

__all__ = ["Tensor"]


class Storages:
    """The bytes that tensors are views of, by number; shared by all that use them at one time."""

    def __init__(self, native: _native.Checkpoint) -> None:
        self.native = native
        self._cache: Any = None

    def bytes(self, number: int, dtype: str) -> npt.NDArray[np.uint8]:
        import weakref

        if self._cache is None:
            self._cache = weakref.WeakValueDictionary()
        found: Optional[npt.NDArray[np.uint8]] = self._cache.get(number)
        if found is None:
            found = self.native.storage(number, dtype)
            self._cache[number] = found
        return found


class Loaded(Storages):
    """The same, of a checkpoint that was loaded as a whole."""

    def __init__(
        self, native: _native.Checkpoint, mapped: bool, progress: Optional[Callable[..., Any]]
    ) -> None:
        super().__init__(native)
        self._all = native.load_all(mapped, progress)
        self._torch: dict[int, Any] = {}

    def bytes(self, number: int, dtype: str) -> npt.NDArray[np.uint8]:
        return self._all[number]


class Tensor:
    """A tensor of a checkpoint. Name, dtype and shape are known; its bytes are read when needed.

    ``numpy.asarray(tensor)``, ``tensor.numpy()``, ``tensor.torch()`` and ``torch.from_dlpack``
    share the file's own memory where the bytes lie there as they are (mapped: what is written to
    them stays in this process and never reaches the file), and keep it alive after the
    checkpoint is gone.

    >>> import kilter, numpy
    >>> kilter.save({"w": numpy.arange(6.0).reshape(2, 3)}, "tensor.safetensors")
    >>> w = kilter.open("tensor.safetensors")["w"]
    >>> w.name, w.dtype, w.shape, w.nbytes
    ('w', 'f64', (2, 3), 48)
    >>> w[1]
    array([3., 4., 5.])
    """

    __slots__ = (
        "_number",
        "_storages",
        "name",
        "dtype",
        "shape",
        "strides",
        "storage",
        "storage_offset",
        "nbytes",
        "is_contiguous",
        "requires_grad",
        "is_parameter",
        "_conjugate",
        "_negative",
    )

    #: Name in the file.
    name: str
    #: Kilter's name of the dtype: "bf16", "f32", "f8_e4m3fn", …
    dtype: str
    shape: tuple[int, ...]
    #: In elements.
    strides: tuple[int, ...]
    #: Number of the run of bytes it is a view of: tensors with the same share memory.
    storage: int
    #: Of the first element in its storage, in elements.
    storage_offset: int
    #: Of the contiguous form.
    nbytes: int
    is_contiguous: bool
    requires_grad: bool
    is_parameter: bool

    def __init__(self, storages: Storages, number: int) -> None:
        self._storages = storages
        self._number = number
        (
            self.name,
            self.dtype,
            self.shape,
            self.strides,
            self.storage,
            self.storage_offset,
            self.nbytes,
            self.is_contiguous,
            self.requires_grad,
            self.is_parameter,
            self._conjugate,
            self._negative,
        ) = storages.native.tensor_info(number)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a tensor without dimensions")
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<kilter.Tensor {self.name!r} {self.dtype} {list(self.shape)}>"

    def __getitem__(self, key: Any) -> Any:
        return self.numpy()[key]

    def numpy(self) -> npt.NDArray[Any]:
        """As a numpy array, without a copy where possible.

        bfloat16 and float8 need the package ml_dtypes; without it they are unsigned integers of
        the same size. Dtypes that pack several elements into a byte are the bytes.
        """
        dtype = _dtypes.numpy_dtype(self.dtype)
        if _dtypes.is_packed(self.dtype):
            return self._copy()
        if self._conjugate or self._negative:
            return self._copy().view(dtype).reshape(self.shape)
        if self.size == 0:
            return np.empty(self.shape, dtype)
        raw = self._storages.bytes(self.storage, self.dtype)
        array: npt.NDArray[Any] = np.ndarray(
            self.shape,
            dtype,
            buffer=raw.data,
            offset=self.storage_offset * dtype.itemsize,
            strides=tuple(stride * dtype.itemsize for stride in self.strides),
        )
        return array

    def tobytes(self) -> bytes:
        """A copy of its bytes: contiguous, C order, little-endian."""
        return self._copy().tobytes()

    def _copy(self) -> npt.NDArray[np.uint8]:
        return self._storages.native.read(self._number, 0, self.nbytes)

    def rows(self, start: int, stop: int) -> npt.NDArray[Any]:
        """A copy of rows [start, stop) of the first dimension: only these are read.

        >>> import kilter, numpy
        >>> kilter.save({"w": numpy.arange(6.0).reshape(3, 2)}, "rows.safetensors")
        >>> kilter.open("rows.safetensors")["w"].rows(1, 2)
        array([[2., 3.]])
        """
        if _dtypes.is_packed(self.dtype) or not self.shape:
            raise TypeError(f"{self!r} has no rows of whole bytes")
        start, stop, _ = slice(start, stop).indices(self.shape[0])
        count = max(0, stop - start)
        dtype = _dtypes.numpy_dtype(self.dtype)
        row_bytes = math.prod(self.shape[1:]) * dtype.itemsize
        raw = self._storages.native.read(self._number, start * row_bytes, count * row_bytes)
        return raw.view(dtype).reshape((count, *self.shape[1:]))

    def torch(self) -> torch.Tensor:
        """As a torch tensor on the CPU, without a copy where possible."""
        from . import _torch_views

        return _torch_views.view(self._storages, self)

    def __array__(self, dtype: Any = None, copy: Optional[bool] = None) -> npt.NDArray[Any]:
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError("another dtype cannot be had without a copy")
            return array.astype(dtype)
        return array.copy() if copy else array

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def __dlpack__(self, **options: Any) -> Any:
        if self.dtype not in _dtypes.DLPACK:
            return self.numpy().__dlpack__(**options)
        code, bits = _dtypes.DLPACK[self.dtype]
        raw = self._storages.bytes(self.storage, self.dtype)
        return _native.typed_view(  # the capsule without a version, which every consumer takes
            raw,
            self.storage_offset * bits // 8,
            list(self.shape),
            list(self.strides),
            code,
            bits,
        )
