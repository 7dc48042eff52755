"""Puts a step back: fits it to what is live, reads tensors in place, then sets the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Optional

import numpy as np
import torch

from . import _dtypes, _native
from ._handlers import Handlers
from ._into import Saved, described, find_memory, mismatch, read_tensors, saved_row
from ._train_state import (
    RNG,
    Parts,
    is_optimizer,
    numbered_state,
    parameter_names,
    set_random_state,
)
from .checkpoint import Progress
from .errors import KilterError, MismatchError
from .saver import Resumed


def resume(native: _native.Saver, parts: Parts, rng: bool, progress: Progress) -> Resumed:
    """The newest step that is whole; older ones where it is not."""
    damaged: list[tuple[int, str, KilterError]] = []
    before = ""
    while True:
        step = native.open_newest(before, progress)
        if step is None:
            if damaged:
                raise damaged[0][2]
            return Resumed(0, "", {}, [])
        damaged.extend(step.damaged)
        try:
            _put_back(step, parts, rng, progress)
        except MismatchError:
            raise
        except KilterError as error:
            if not _native.is_damage(error.code):
                raise
            damaged.append((step.step, step.commit, error))
            before = step.commit
            continue
        return Resumed(step.step, step.commit, step.metadata, damaged)


class _Place:
    """Where a tensor of the step lies; what it becomes is filled in."""

    __slots__ = ("row", "value")

    def __init__(self, row: Saved) -> None:
        self.row = row
        self.value: Any = None


def _put_back(step: _native.OpenedStep, parts: Parts, rng: bool, progress: Progress) -> None:
    tree = step.state(Handlers(lambda number: _Place(saved_row(step.checkpoint, number))))
    fit = _Fit(step, tree, parts)
    if rng and RNG in tree:
        fit.take(tree[RNG])
    fit.raise_if_different()
    read_tensors(step.checkpoint, fit.pairs, True, progress)
    fit.apply()
    if rng and RNG in tree:
        set_random_state(_filled(tree[RNG]))


class _Fit:
    """All differences at once, and all tensors to be read; nothing is changed before apply()."""

    def __init__(self, step: _native.OpenedStep, tree: Mapping[str, Any], parts: Parts) -> None:
        self._step = step
        self._names = parts.names()
        self.pairs: list[tuple[Saved, torch.Tensor]] = []
        self._missing: list[str] = []
        self._unexpected: list[str] = []
        self._different: list[str] = []
        self._later: list[tuple[Any, Any]] = []
        for name, part in {**parts.stateful, **parts.trees}.items():
            if name not in tree:
                self._missing.append(name)
            elif name in parts.trees:
                self._in_place(part, tree[name], name)
            elif isinstance(part, torch.nn.Module):
                self._module(part, tree[name], name)
            elif is_optimizer(part):
                self._optimizer(part, tree[name], name)
            else:
                self.take(tree[name])
                self._later.append((part, tree[name]))

    def take(self, saved: Any) -> None:
        """Fresh tensors for every place of a tree."""
        for place in _places(saved):
            if place.value is None:
                place.value = _fresh(place.row)
                self.pairs.append((place.row, place.value))

    def raise_if_different(self) -> None:
        if self._missing or self._unexpected or self._different:
            raise mismatch(
                self._missing,
                self._unexpected,
                self._different,
                f"step {self._step.step} ({self._step.commit[:12]})",
            )

    def apply(self) -> None:
        """Everything that is not read into place."""
        for part, saved in self._later:
            state = _filled(saved)
            if is_optimizer(part):
                _load_optimizer(part, numbered_state(part, self._names, state))
            else:
                part.load_state_dict(state)

    def _module(self, module: torch.nn.Module, saved: Mapping[str, Any], name: str) -> None:
        live = module.state_dict(keep_vars=True)
        memory = {
            find_memory(live[key])
            for key in saved
            if key in live and isinstance(live[key], torch.Tensor)
        }
        for key, value in live.items():
            place = saved.get(key)
            if isinstance(value, torch.Tensor) and isinstance(place, _Place):
                self._fit_tensor(place, value, f"{name}.{key}")
            elif isinstance(value, torch.Tensor) and find_memory(value) not in memory:
                self._missing.append(f"{name}.{key}")
        self._unexpected.extend(f"{name}.{key}" for key in saved if key not in live)
        extra = {k: v for k, v in saved.items() if k.endswith("_extra_state") and k in live}
        if extra:
            self.take(extra)
            self._later.append((_ExtraState(module), extra))

    def _optimizer(self, optimizer: Any, saved: Mapping[str, Any], name: str) -> None:
        rows = parameter_names(optimizer, self._names)
        groups = saved["param_groups"]
        if len(rows) != len(groups):
            self._different.append(
                f"{name}: the step has {len(groups)} groups of parameters, the optimizer {len(rows)}"
            )
            return
        before = len(self._missing) + len(self._unexpected)
        for i, (row, group) in enumerate(zip(rows, groups)):
            where = f"{name}.param_groups.{i}"
            known = set(group["params"])
            self._missing.extend(f"{where}.{one}" for one in row if one not in known)
            self._unexpected.extend(f"{where}.{one}" for one in group["params"] if one not in row)
        if len(self._missing) + len(self._unexpected) == before:
            self._shapes_of_state(optimizer, saved["state"], rows, name)
            self.take(saved)
            self._later.append((optimizer, saved))

    def _shapes_of_state(
        self, optimizer: Any, state: Mapping[str, Any], rows: list[list[str]], name: str
    ) -> None:
        """State that is kept for each element has the parameter's shape."""
        for row, group in zip(rows, optimizer.param_groups):
            for one, parameter in zip(row, group["params"]):
                for key in ("exp_avg", "exp_avg_sq", "momentum_buffer"):
                    place = state.get(one, {}).get(key)
                    if isinstance(place, _Place) and tuple(place.row.shape) != parameter.shape:
                        self._different.append(
                            f"{name}.state.{one}.{key}: the step has {list(place.row.shape)}, "
                            f"the parameter {list(parameter.shape)}"
                        )

    def _in_place(self, live: Any, saved: Any, path: str) -> None:
        """Trees of tensors: the same keys, dtypes and shapes; numbers in dictionaries and lists are
        replaced."""
        if isinstance(live, np.ndarray):
            live = torch.from_numpy(live)
        if isinstance(live, torch.Tensor):
            if isinstance(saved, _Place):
                self._fit_tensor(saved, live, path)
            else:
                self._different.append(f"{path}: a tensor here, none in the step")
        elif isinstance(live, dict) and isinstance(saved, dict):
            self._missing.extend(f"{path}.{key}" for key in live if key not in saved)
            self._unexpected.extend(f"{path}.{key}" for key in saved if key not in live)
            for key in live.keys() & saved.keys():
                self._in_place(live[key], saved[key], f"{path}.{key}")
            self._later.append((_Values(live), saved))
        elif isinstance(live, (list, tuple)) and isinstance(saved, (list, tuple)):
            if len(live) != len(saved):
                self._different.append(f"{path}: {len(saved)} in the step, {len(live)} here")
                return
            for i, (a, b) in enumerate(zip(live, saved)):
                self._in_place(a, b, f"{path}.{i}")
            if isinstance(live, list):
                self._later.append((_Values(live), saved))

    def _fit_tensor(self, place: _Place, tensor: torch.Tensor, path: str) -> None:
        dtype, shape = described(tensor)
        row = place.row
        if (row.dtype, tuple(row.shape)) != (dtype, shape):
            self._different.append(
                f"{path}: the step has {row.dtype} {list(row.shape)}, here is {dtype} {list(shape)}"
            )
            return
        place.value = tensor
        self.pairs.append((row, tensor))


class _Values:
    """Numbers and texts of a live dictionary or list, replaced by what was saved."""

    def __init__(self, live: Any) -> None:
        self._live = live

    def load_state_dict(self, state: Any) -> None:
        keys = list(self._live) if isinstance(self._live, dict) else range(len(self._live))
        for key in keys:
            if isinstance(self._live[key], (bool, int, float, str, type(None))):
                self._live[key] = state[key]


class _ExtraState:
    """What modules keep beside tensors (get_extra_state)."""

    def __init__(self, module: torch.nn.Module) -> None:
        self._module = module

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for key, value in state.items():
            self._module.get_submodule(key.rpartition("_extra_state")[0].rstrip(".")).set_extra_state(
                value
            )


def _load_optimizer(optimizer: Any, state: dict[str, Any]) -> None:
    """load_state_dict(), and then each tensor as it was saved: torch casts state to the
    parameter's dtype, which loses what was kept at a higher precision."""
    optimizer.load_state_dict(state)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for number, saved in state["state"].items():
        if not isinstance(number, int) or not isinstance(saved, dict):
            continue
        live = optimizer.state[parameters[number]]
        for key, value in saved.items():
            current = live.get(key)
            if isinstance(value, torch.Tensor) and isinstance(current, torch.Tensor):
                if current.dtype != value.dtype:
                    live[key] = value.to(current.device)


def _fresh(row: Saved) -> torch.Tensor:
    dtype = _dtypes.torch_dtype(row.dtype)
    shape = row.shape
    if row.dtype == "f4_e2m1":
        shape = (*shape[:-1], shape[-1] // 2)
    return torch.empty(shape, dtype=dtype)


def _places(tree: Any) -> Iterator[_Place]:
    waiting, seen = [tree], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, _Place):
            yield value
            continue
        if isinstance(value, (dict, list, tuple)):
            if id(value) in seen:
                continue
            seen.add(id(value))
            waiting.extend(value.values() if isinstance(value, dict) else value)


def _filled(tree: Any, made: Optional[dict[int, Any]] = None) -> Any:
    """The tree with tensors in their places; what was one object stays one."""
    made = {} if made is None else made
    if isinstance(tree, _Place):
        return tree.value
    if not isinstance(tree, (dict, list, tuple)):
        return tree
    if id(tree) in made:
        return made[id(tree)]
    if isinstance(tree, dict):
        filled: Any = type(tree)() if type(tree) is not dict else {}
        made[id(tree)] = filled
        for key, value in tree.items():
            filled[key] = _filled(value, made)
    elif isinstance(tree, list):
        filled = made[id(tree)] = []
        filled.extend(_filled(value, made) for value in tree)
    else:
        filled = made[id(tree)] = tuple(_filled(value, made) for value in tree)
    return filled
