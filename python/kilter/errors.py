"""Errors: one family, with the fields of the engine's own error.

Every exception that Kilter raises on account of the world (a file that is not there, is damaged or
is refused) is a :class:`KilterError`, and also the builtin that fits:

>>> import kilter
>>> try:
...     kilter.open("no/such/file.safetensors")
... except FileNotFoundError as error:
...     print(type(error).__name__, error.code, error.path)
NotFoundError not_found no/such/file.safetensors
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any, Optional

__all__ = [
    "AlreadyExistsError",
    "ArgumentError",
    "CancelledError",
    "CorruptError",
    "InternalError",
    "IoError",
    "KilterError",
    "LimitError",
    "MalformedError",
    "MismatchError",
    "NoSpaceError",
    "NotFoundError",
    "PermissionDeniedError",
    "RangeError",
    "TensorNotFoundError",
    "UnsafeError",
    "UnsupportedError",
]


class KilterError(Exception):
    """What went wrong, and where. Fields that do not apply are empty.

    ``message`` is one sentence; ``str(error)`` adds ``path``, ``tensor`` and ``offset_bytes`` in
    front, ``expected`` and ``found``, and ``hint`` (what to do next) behind it.

    >>> error = MalformedError("the header is no JSON", path="a.safetensors", offset_bytes=8)
    >>> print(error)
    a.safetensors: offset 8: the header is no JSON
    """

    #: Name in the table of errors, as in the program's ``--json``: "malformed".
    code: str = "internal"
    _errno: Optional[int] = None

    def __init__(
        self,
        message: str = "",
        *,
        path: str = "",
        tensor: str = "",
        offset_bytes: Optional[int] = None,
        expected: str = "",
        found: str = "",
        hint: str = "",
        text: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.tensor = tensor
        self.offset_bytes = offset_bytes
        self.expected = expected
        self.found = found
        self.hint = hint
        self._text = text or self._made_text()
        if isinstance(self, OSError):
            for name, value in (("errno", self._errno), ("strerror", message), ("filename", path)):
                setattr(self, name, value)

    def _made_text(self) -> str:
        text = f"{self.path}: " if self.path else ""
        if self.tensor:
            text += f'tensor "{self.tensor}": '
        if self.offset_bytes is not None:
            text += f"offset {self.offset_bytes}: "
        text += self.message
        sides = [f"expected {self.expected}"] if self.expected else []
        sides += [f"found {self.found}"] if self.found else []
        if sides:
            text += f" ({', '.join(sides)})"
        return f"{text}; {self.hint}" if self.hint else text

    def __str__(self) -> str:
        return self._text

    def _fields(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "tensor": self.tensor,
            "offset_bytes": self.offset_bytes,
            "expected": self.expected,
            "found": self.found,
            "hint": self.hint,
            "text": self._text,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.message, self._fields())


class ArgumentError(KilterError, ValueError):
    """The caller asked for something that cannot be.

    >>> issubclass(ArgumentError, ValueError)
    True
    """

    code = "invalid_argument"


class MismatchError(ArgumentError, RuntimeError):
    """What a checkpoint holds and what it is loaded into do not fit: every difference at once.

    >>> error = MismatchError("1 difference", missing=("bias",))
    >>> error.missing, error.unexpected, error.different
    (('bias',), (), ())
    """

    def __init__(
        self,
        message: str = "",
        *,
        missing: Sequence[str] = (),
        unexpected: Sequence[str] = (),
        different: Sequence[str] = (),
        **fields: Any,
    ) -> None:
        super().__init__(message, **fields)
        self.missing = tuple(missing)
        self.unexpected = tuple(unexpected)
        self.different = tuple(different)

    def _fields(self) -> dict[str, Any]:
        return {
            **super()._fields(),
            "missing": self.missing,
            "unexpected": self.unexpected,
            "different": self.different,
        }


class NotFoundError(KilterError, FileNotFoundError):
    """No such file, store, commit or tensor.

    >>> issubclass(NotFoundError, FileNotFoundError)
    True
    """

    code = "not_found"
    _errno = errno.ENOENT


class TensorNotFoundError(NotFoundError, KeyError):
    """A checkpoint has no tensor of that name; the hint names the nearest.

    >>> issubclass(TensorNotFoundError, KeyError)
    True
    """


class AlreadyExistsError(KilterError, FileExistsError):
    """The output exists and ``force`` was not given.

    >>> issubclass(AlreadyExistsError, FileExistsError)
    True
    """

    code = "already_exists"
    _errno = errno.EEXIST


class MalformedError(KilterError, ValueError):
    """The input breaks its format's rules.

    >>> issubclass(MalformedError, ValueError)
    True
    """

    code = "malformed"


class UnsupportedError(KilterError, ValueError):
    """Well-formed as far as seen, but nothing that Kilter reads or writes.

    >>> issubclass(UnsupportedError, ValueError)
    True
    """

    code = "unsupported"


class LimitError(KilterError, MemoryError):
    """A budget (memory, depth, count, expansion) was exhausted.

    >>> issubclass(LimitError, MemoryError)
    True
    """

    code = "limit_exceeded"


class UnsafeError(KilterError, ValueError):
    """A name, class or call in the input was refused.

    >>> issubclass(UnsafeError, ValueError)
    True
    """

    code = "unsafe"


class CorruptError(KilterError, ValueError):
    """Stored bytes fail their checksum.

    >>> issubclass(CorruptError, ValueError)
    True
    """

    code = "corrupt"


class RangeError(KilterError, IndexError):
    """An index or range lies outside the object.

    >>> issubclass(RangeError, IndexError)
    True
    """

    code = "out_of_range"


class IoError(KilterError, OSError):
    """The operating system reported an error of reading or writing.

    >>> issubclass(IoError, OSError)
    True
    """

    code = "io"
    _errno = errno.EIO


class NoSpaceError(KilterError, OSError):
    """The disk is full.

    >>> NoSpaceError("full").errno == __import__("errno").ENOSPC
    True
    """

    code = "no_space"
    _errno = errno.ENOSPC


class PermissionDeniedError(KilterError, PermissionError):
    """Access was denied.

    >>> issubclass(PermissionDeniedError, PermissionError)
    True
    """

    code = "permission"
    _errno = errno.EACCES


class CancelledError(KilterError):
    """The work was asked to stop. After Ctrl-C it is KeyboardInterrupt that is raised.

    >>> issubclass(CancelledError, KilterError)
    True
    """

    code = "cancelled"


class InternalError(KilterError, RuntimeError):
    """A fault of Kilter itself.

    >>> issubclass(InternalError, RuntimeError)
    True
    """

    code = "internal"


def _again(kind: type[KilterError], message: str, fields: dict[str, Any]) -> KilterError:
    return kind(message, **fields)


def make_error(
    name: str,
    message: str,
    path: str,
    tensor: str,
    offset_bytes: Optional[int],
    expected: str,
    found: str,
    hint: str,
    text: str,
) -> KilterError:
    """Called by the engine: the exception of the class that the table of errors names.

    >>> make_error("CorruptError", "bad", "f", "", None, "", "", "", "f: bad")
    CorruptError('bad')
    """
    kind: type[KilterError] = globals()[name]
    if kind is NotFoundError and tensor:
        kind = TensorNotFoundError
    return kind(
        message,
        path=path,
        tensor=tensor,
        offset_bytes=offset_bytes,
        expected=expected,
        found=found,
        hint=hint,
        text=text,
    )
