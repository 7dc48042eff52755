"""Dtypes by each naming: Kilter's, numpy's, torch's."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _native

if TYPE_CHECKING:
    import torch

ml_dtypes: Any
try:
    ml_dtypes = importlib.import_module("ml_dtypes")
except ImportError:  # bfloat16 and float8 are then shown as unsigned integers
    ml_dtypes = None


class Row(NamedTuple):
    name: str
    torch: str
    numpy: str
    bits: int


ROWS = {row[0]: Row(*row) for row in _native.dtype_table()}

# Kilter's name to ml_dtypes' name.
_MORE = {
    "bf16": "bfloat16",
    "f8_e4m3fn": "float8_e4m3fn",
    "f8_e5m2": "float8_e5m2",
    "f8_e4m3fnuz": "float8_e4m3fnuz",
    "f8_e5m2fnuz": "float8_e5m2fnuz",
    "f8_e8m0fnu": "float8_e8m0fnu",
}
_UNSIGNED = {8: np.uint8, 16: np.uint16, 32: np.uint32, 64: np.uint64}

#: DLPack's (code, bits) for what numpy cannot export itself.
DLPACK = {
    "bf16": (4, 16),
    "f8_e4m3fn": (10, 8),
    "f8_e4m3fnuz": (11, 8),
    "f8_e5m2": (12, 8),
    "f8_e5m2fnuz": (13, 8),
    "f8_e8m0fnu": (14, 8),
}


def is_packed(name: str) -> bool:
    """Several elements share a byte: numpy sees the bytes."""
    return ROWS[name].bits % 8 != 0


def numpy_dtype(name: str) -> np.dtype[Any]:
    """numpy's dtype; an unsigned integer of the same size where numpy has none."""
    row = ROWS[name]
    if row.numpy:
        return np.dtype(row.numpy)
    if name in _MORE and ml_dtypes is not None:
        more: np.dtype[Any] = np.dtype(getattr(ml_dtypes, _MORE[name]))
        return more
    return np.dtype(_UNSIGNED.get(row.bits, np.uint8))


def _numpy_names() -> dict[Any, str]:
    names: dict[Any, str] = {}
    for row in ROWS.values():
        if row.numpy and not row.numpy.startswith("|V"):
            names.setdefault(np.dtype(row.numpy), row.name)
    if ml_dtypes is not None:
        names.update({np.dtype(getattr(ml_dtypes, more)): name for name, more in _MORE.items()})
    return names


_BY_NUMPY = _numpy_names()


def name_of_numpy(dtype: np.dtype[Any]) -> str | None:
    """Kilter's name of a little-endian numpy dtype; None if there is none."""
    return _BY_NUMPY.get(dtype)


_BY_TORCH = {row.torch: row.name for row in ROWS.values() if row.torch}
_SEEN: dict[Any, str | None] = {}


def name_of_torch(dtype: torch.dtype) -> str | None:
    """Kilter's name of a torch dtype; None if there is none."""
    try:
        return _SEEN[dtype]
    except KeyError:
        return _SEEN.setdefault(dtype, _BY_TORCH.get(str(dtype).rpartition(".")[2]))


def torch_dtype(name: str) -> torch.dtype:
    """torch's dtype; an unsigned integer of the same size where this torch has none."""
    import torch

    found: Any = getattr(torch, ROWS[name].torch, None) if ROWS[name].torch else None
    if isinstance(found, torch.dtype):
        return found
    plain: torch.dtype = torch.from_numpy(np.empty(0, _UNSIGNED.get(ROWS[name].bits, np.uint8))).dtype
    return plain
