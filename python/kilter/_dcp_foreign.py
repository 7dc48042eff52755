"""Any checkpoint as torch's planner sees one: each tensor is one piece, each value an object."""

from __future__ import annotations

from typing import Any

from . import _native
from ._dcp_layout import Key, Layout, Piece, Whole
from .checkpoint import Checkpoint
from .tensor import Tensor


def layout_of_any(native: _native.Checkpoint) -> Layout:
    """Names are those of the nested state where there is one (``model.embed.weight``), else the
    tensors' own."""
    out = Layout()
    checkpoint = Checkpoint(native)
    for path, value in _leaves(checkpoint.state):
        name = ".".join(map(str, path))
        out.paths[name] = path
        if isinstance(value, Tensor):
            out.tensors[name] = _whole(native, value._number)
        else:
            out.made[name] = [value]
            out.objects[name] = Piece([], [], -1, name)
    if not out.tensors:
        for number, name in enumerate(native.names):
            out.tensors[name] = _whole(native, number)
            out.paths[name] = [name]
    return out


def _whole(native: _native.Checkpoint, number: int) -> Whole:
    info = native.tensor_info(number)
    shape = list(info[2])
    return Whole(info[1], shape, [Piece([0] * len(shape), shape, -1, info[0])])


def _leaves(state: Any) -> list[tuple[list[Key], Any]]:
    """Every value that is no dictionary or list, with the keys that lead to it."""
    out: list[tuple[list[Key], Any]] = []
    waiting: list[tuple[list[Key], Any]] = [] if state is None else [([], state)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict) and all(isinstance(key, (str, int)) for key in value):
            children = list(value.items())
        elif isinstance(value, list):
            children = list(enumerate(value))
        else:
            out.append((path, value))
            continue
        waiting.extend(([*path, key], child) for key, child in reversed(children))
    return out
