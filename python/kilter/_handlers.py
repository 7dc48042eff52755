"""What becomes of the parts of a state tree that are no plain values."""

from __future__ import annotations

import argparse
import pathlib
import types
from collections import Counter, OrderedDict, defaultdict
from typing import Any, Callable

from ._inert import Global, Object

#: Types that may be made again: they hold data and do nothing.
_FACTORIES: dict[str, type] = {
    "builtins.list": list,
    "builtins.dict": dict,
    "builtins.set": set,
    "builtins.int": int,
    "builtins.float": float,
    "builtins.str": str,
    "builtins.tuple": tuple,
}


def ordered_dict(state: Any, extra: Any) -> OrderedDict[Any, Any]:
    made: OrderedDict[Any, Any] = OrderedDict(extra or {})
    if isinstance(state, dict):
        made.__dict__.update(state)
    return made


class Handlers:
    """For ``Checkpoint.state``: harmless containers are themselves, the rest is inert."""

    def __init__(self, tensor: Callable[[int], Any]) -> None:
        self.tensor = tensor

    def object(
        self, name: str, args: tuple[Any, ...], state: Any = None, extra: Any = None
    ) -> Any:
        """An object of the class `name`, if it is one that does nothing; else it stays inert."""
        if name == "collections.OrderedDict" and not args:
            return ordered_dict(state, extra)
        if name == "collections.Counter" and not args:
            return Counter(extra or {})
        if name == "collections.defaultdict" and len(args) <= 1:
            factory = args[0] if args else None
            if factory is None or isinstance(factory, type):
                return defaultdict(factory, extra or {})
        if name == "builtins.bytearray" and len(args) == 1 and isinstance(args[0], bytes):
            return bytearray(args[0])
        if name in ("pathlib.PosixPath", "pathlib._local.PosixPath") and _all_text(args):
            return pathlib.PurePosixPath(*args)
        if name == "argparse.Namespace" and not args and isinstance(state, dict):
            return argparse.Namespace(**state)
        if name == "types.SimpleNamespace" and not args and isinstance(state, dict):
            return types.SimpleNamespace(**state)
        return self.other(name, args, state, extra)

    def other(self, name: str, args: tuple[Any, ...], state: Any, extra: Any) -> Any:
        if name == "torch.Size" and len(args) == 1:
            return tuple(args[0])
        return Object(name, args, state, extra)

    def global_(self, name: str) -> Any:
        """A class or function by name: types of values as themselves, else it stays inert."""
        return _FACTORIES.get(name) or self.other_global(name)

    def other_global(self, name: str) -> Any:
        return Global(name)


def _all_text(args: tuple[Any, ...]) -> bool:
    return bool(args) and all(isinstance(arg, str) for arg in args)
