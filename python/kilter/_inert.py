"""What a file names but Kilter does not run: shown, never imported."""

from __future__ import annotations

from typing import Any


class Global:
    """A class or function that a file names. It was not imported.

    >>> Global("os.system")
    Global('os.system')
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"Global({self.name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Global) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


class Object:
    """An object of any class, as plain data: what it was made from and what was set on it.

    >>> namespace = Object("argparse.Namespace", state={"seed": 1})
    >>> namespace.name, namespace.state["seed"]
    ('argparse.Namespace', 1)
    """

    __slots__ = ("name", "args", "state", "extra")

    def __init__(
        self, name: str, args: tuple[Any, ...] = (), state: Any = None, extra: Any = None
    ) -> None:
        self.name = name
        self.args = args
        self.state = state
        self.extra = extra

    def __repr__(self) -> str:
        return f"<object of {self.name}: args={self.args!r}, state={self.state!r}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Object):
            return NotImplemented
        mine = (self.name, self.args, self.state, self.extra)
        return mine == (other.name, other.args, other.state, other.extra)

    __hash__ = None  # type: ignore[assignment]
