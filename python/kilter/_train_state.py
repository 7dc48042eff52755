"""The parts of a training run as one tree."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

import numpy as np

from . import _native
from ._build import HELD, Builder
from .errors import ArgumentError

if TYPE_CHECKING:
    import torch

#: Keys of the step itself.
RNG, STEP = "rng", "step"
RESERVED = {RNG, STEP, "metadata", "training", "progress", "files"}


class Parts:
    """What save() and resume() were given, sorted by what is to be done with it."""

    def __init__(self, parts: Mapping[str, Any], attached: list[Any]) -> None:
        self.stateful: dict[str, Any] = {}
        self.trees: dict[str, Any] = {}
        self.values: dict[str, Any] = {}
        self.attached = attached
        for name, part in parts.items():
            if name in RESERVED:
                raise ArgumentError(f"{name!r} is a key of the step itself")
            if part is None:
                continue
            self._sort(name, part)

    def _sort(self, name: str, part: Any) -> None:
        if hasattr(part, "state_dict") and hasattr(part, "load_state_dict"):
            self.stateful[name] = part
        elif isinstance(part, (bool, int, float, str, np.number)):
            self.values[name] = part.item() if isinstance(part, np.generic) else part
        elif is_torch_tensor(part) and part.dim() == 0 and not isinstance(part, _parameter()):
            self.values[name] = part.item()
        elif isinstance(part, (dict, list, tuple, np.ndarray)) or is_torch_tensor(part):
            self.trees[name] = part
        else:
            raise ArgumentError(
                f"{name!r} cannot be saved",
                expected="something with state_dict() and load_state_dict(), tensors, numbers, text",
                found=type(part).__name__,
                hint=_advice(part),
            )

    def names(self) -> dict[int, str]:
        """Parameters' names by their ids: as the model calls them, and KEY.name in other modules."""
        found: dict[int, str] = {}
        for key, part in self.stateful.items():
            if not hasattr(part, "named_parameters"):
                continue
            for name, parameter in part.named_parameters(remove_duplicate=False):
                found.setdefault(id(parameter), name if key == "model" else f"{key}.{name}")
        return found


def _parameter() -> type:
    torch = sys.modules["torch"]
    kind: type = torch.nn.Parameter
    return kind


def _advice(part: Any) -> str:
    if type(part).__name__ == "DataLoader":
        return "wrap it: data = kilter.torch.Resumable(loader)"
    return "give it state_dict() and load_state_dict()"


def is_torch_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def is_optimizer(part: Any) -> bool:
    return hasattr(part, "param_groups") and hasattr(part, "state")


class Gathered(NamedTuple):
    """A state ready to be saved. Keeps alive what is being written."""

    native: _native.StateBuilder
    root: int
    metadata: dict[str, Any]
    builder: Builder


def gather(
    builder: Builder, step: int, parts: Parts, rng: bool, metadata: Mapping[str, Any]
) -> Gathered:
    """The tree of a step: each part under its name, the random states, the step."""
    names = parts.names()
    held = _held(parts.attached)
    tree: dict[str, Any] = {}
    for name, part in parts.stateful.items():
        state = named_state(part, names) if is_optimizer(part) else plain_dict(part.state_dict())
        tree[name] = state
    tree.update(parts.trees)
    tree.update(parts.values)
    if rng:
        tree[RNG] = random_state()
    tree[STEP] = step
    builder.held = held
    root = builder.node(tree, ())
    return Gathered(builder.native, root, {**parts.values, **metadata, STEP: step}, builder)


def plain_dict(state: Any) -> Any:
    """An OrderedDict as a dictionary: what marks it as a module's state is not needed here."""
    return dict(state) if isinstance(state, dict) else state


def _held(optimizers: list[Any]) -> set[int]:
    """Addresses of memory that changes only in these optimizers' steps."""
    held: set[int] = set()
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            held.update(parameter.data_ptr() for parameter in group["params"])
        for state in optimizer.state.values():
            held.update(value.data_ptr() for value in state.values() if is_torch_tensor(value))
    held.discard(0)
    return held


def parameter_names(optimizer: Any, names: Mapping[int, str]) -> list[list[str]]:
    """Names of each group's parameters; a number where no module has it."""
    count, out = 0, []
    for group in optimizer.param_groups:
        row = []
        for parameter in group["params"]:
            row.append(names.get(id(parameter), f"#{count}"))
            count += 1
        out.append(row)
    return out


def named_state(optimizer: Any, names: Mapping[int, str]) -> dict[str, Any]:
    """state_dict() with parameters' names in place of numbers."""
    plain = optimizer.state_dict()
    rows = parameter_names(optimizer, names)
    by_number = dict(
        pair
        for group, row in zip(plain["param_groups"], rows)
        for pair in zip(group["params"], row)
    )
    state = {by_number.get(key, key): value for key, value in plain["state"].items()}
    groups = [
        {**{k: v for k, v in group.items() if k != "param_names"}, "params": row}
        for group, row in zip(plain["param_groups"], rows)
    ]
    return {**plain, "state": state, "param_groups": groups}


def numbered_state(
    optimizer: Any, names: Mapping[int, str], saved: Mapping[str, Any]
) -> dict[str, Any]:
    """The way back: named_state() with the numbers that this optimizer gives."""
    rows = parameter_names(optimizer, names)
    numbers = {name: i for i, name in enumerate(name for row in rows for name in row)}
    state = {numbers.get(key, key): value for key, value in saved["state"].items()}
    groups = []
    for group, row in zip(saved["param_groups"], rows):
        groups.append({**group, "params": [numbers[name] for name in row]})
    return {**saved, "state": state, "param_groups": groups}


# Random states ---------------------------------------------------------------


def random_state() -> dict[str, Any]:
    """Of Python, numpy and torch, each device of it."""
    kind, words, position, has_gauss, gauss = np.random.get_state(legacy=True)
    version, numbers, following = random.getstate()
    state: dict[str, Any] = {
        "python": {
            "version": version,
            "numbers": np.array(numbers, dtype=np.uint32),
            "next": following,
        },
        "numpy": {
            "kind": str(kind),
            "words": np.array(words),
            "position": int(position),
            "has_gauss": int(has_gauss),
            "gauss": float(gauss),
        },
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        state["torch"] = torch.get_rng_state()
        for name, module in _devices(torch):
            state[name] = list(module.get_rng_state_all())
    return state


def _devices(torch: Any) -> list[tuple[str, Any]]:
    found = []
    for name in ("cuda", "xpu"):
        module = getattr(torch, name, None)
        if module is not None and module.is_available() and module.is_initialized():
            found.append((name, module))
    return found


def set_random_state(state: Mapping[str, Any]) -> None:
    """Puts back what random_state() gave."""
    python, words = state["python"], state["numpy"]
    numbers = tuple(int(number) for number in np.asarray(python["numbers"]))
    random.setstate((python["version"], numbers, python["next"]))
    np.random.set_state(
        (
            words["kind"],
            np.asarray(words["words"]),
            words["position"],
            words["has_gauss"],
            words["gauss"],
        )
    )
    torch = sys.modules.get("torch")
    if torch is None or "torch" not in state:
        return
    torch.set_rng_state(_as_torch(state["torch"]))
    for name in ("cuda", "xpu"):
        module = getattr(torch, name, None)
        saved: Optional[list[Any]] = state.get(name)
        if saved and module is not None and module.is_available():
            for device, one in enumerate(saved[: module.device_count()]):
                module.set_rng_state(_as_torch(one), device)


def _as_torch(value: Any) -> torch.Tensor:
    import torch

    made: torch.Tensor = value if isinstance(value, torch.Tensor) else torch.from_numpy(value)
    return made.to(torch.uint8)
