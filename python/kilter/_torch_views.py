"""torch tensors over a checkpoint's memory: views, strides and shared storages as the file has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from . import _dtypes

if TYPE_CHECKING:
    from .tensor import Storages, Tensor


def untyped(storages: Storages, number: int, dtype: str) -> torch.UntypedStorage:
    """The storage of that number; one object for all tensors of a loaded checkpoint."""
    cache: dict[int, torch.UntypedStorage] = getattr(storages, "_torch", {})
    found = cache.get(number)
    if found is None:
        raw = storages.bytes(number, dtype)
        if raw.ctypes.data % max(1, _dtypes.ROWS[dtype].bits // 8):
            raw = raw.copy()  # elements must not lie across their own size
        found = torch.from_numpy(raw).untyped_storage()
        cache[number] = found
    return found


def view(storages: Storages, tensor: Tensor) -> torch.Tensor:
    """The tensor as torch has it; without gradients and never a Parameter."""
    dtype = _dtypes.torch_dtype(tensor.dtype)
    shape, strides, offset = tensor.shape, tensor.strides, tensor.storage_offset
    if tensor.dtype == "f4_e2m1":  # torch counts pairs
        if not shape or shape[-1] % 2:
            return torch.from_numpy(tensor.numpy())
        shape = (*shape[:-1], shape[-1] // 2)
        strides = (*(stride // 2 for stride in strides[:-1]), 1)
        offset //= 2
    elif _dtypes.is_packed(tensor.dtype):
        return torch.from_numpy(tensor.numpy())
    return as_view(
        untyped(storages, tensor.storage, tensor.dtype), dtype, tensor, offset, shape, strides
    )


def as_view(
    storage: torch.UntypedStorage,
    dtype: torch.dtype,
    tensor: Tensor,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
) -> torch.Tensor:
    made = torch.empty(0, dtype=dtype, device=storage.device)
    made.set_(storage, offset, shape, strides)
    if tensor._conjugate:
        made = torch.conj(made)
    if tensor._negative:
        made = torch._neg_view(made)
    return made


def numpy_of(value: Any) -> Any:
    """An array of one element without dimensions as the scalar it was."""
    return value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value
