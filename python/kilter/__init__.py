"""Kilter: the checkpoint system for AI models.

Opens, judges, converts and stores checkpoints; nothing in a file is ever executed.

>>> import kilter, numpy
>>> kilter.save({"model": {"w": numpy.ones((2, 2))}, "step": 7}, "package.pt")
>>> kilter.load("package.pt")["step"]
7
>>> list(kilter.open("package.pt"))
['model.w']

``kilter.torch`` stands in for torch.save and torch.load, :class:`Store` keeps every step of a run,
and :class:`Saver` saves while training goes on and resumes exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._inert import Global, Object
from ._native import version as _version
from .checkpoint import Checkpoint, Document, OpenFinding, load, open
from .errors import *  # noqa: F403
from .errors import __all__ as _errors
from .reports import *  # noqa: F403
from .reports import __all__ as _reports
from .store import Store, find_series
from .tensor import Tensor
from .verbs import convert, inspect, save, scan, verify
from .weights import (
    average,
    cast,
    delta_apply,
    delta_make,
    diff,
    ema,
    merge,
    prune,
    rename,
    shard,
    stats,
    strip,
)

__version__ = _version()

if TYPE_CHECKING:
    from .saver import DamagedStepWarning, Keep, Resumed, Saver, Ticket

__all__ = [
    "Checkpoint",
    "DamagedStepWarning",
    "Document",
    "Global",
    "Keep",
    "Object",
    "OpenFinding",
    "Resumed",
    "Saver",
    "Store",
    "Tensor",
    "Ticket",
    "__version__",
    "average",
    "cast",
    "convert",
    "delta_apply",
    "delta_make",
    "diff",
    "ema",
    "find_series",
    "inspect",
    "load",
    "merge",
    "open",
    "prune",
    "rename",
    "save",
    "scan",
    "shard",
    "stats",
    "strip",
    "verify",
    *_errors,
    *_reports,
]


_TRAINING = ("DamagedStepWarning", "Keep", "Resumed", "Saver", "Ticket")


def __getattr__(name: str) -> Any:
    if name in _TRAINING:  # only who trains needs them
        from . import saver

        return getattr(saver, name)
    raise AttributeError(f"module 'kilter' has no attribute {name!r}")
