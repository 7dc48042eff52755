"""What can be done with files: the program's commands as functions."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, Optional, Union

from . import _native
from ._build import Builder
from .checkpoint import Path, Progress
from .errors import ArgumentError

__all__ = ["convert", "inspect", "save", "scan", "verify"]

_TORCH = {"pt", "pth", "bin", "ckpt", "torch"}


def save(
    tree: Any,
    path: Path,
    *,
    format: str = "",
    metadata: Optional[Mapping[str, str]] = None,
    shard_bytes_max: int = 0,
    force: bool = True,
    progress: Progress = None,
) -> None:
    """Writes tensors, or a tree of tensors and plain values, as safetensors, torch or npz.

    The format is ``format`` or the path's extension. The file appears whole or not at all, and is
    durable when this returns. The official libraries read it. What is not tensors goes into the
    torch file, or into ``STEM.state.json`` beside the others. Tensors may be numpy's, torch's or
    Kilter's. ``metadata`` becomes safetensors' ``__metadata__``; with ``shard_bytes_max`` the path
    is a folder of shards and an index. ``force=False`` refuses to replace a file.

    >>> import kilter, numpy
    >>> kilter.save({"w": numpy.ones((2, 2), "float16")}, "save.safetensors",
    ...             metadata={"made_by": "me"})
    >>> kilter.open("save.safetensors").metadata["made_by"]
    'me'
    """
    target = os.fspath(path)
    is_torch = (format or os.path.splitext(target)[1].lstrip(".").lower()) in _TORCH
    builder = Builder(flags=is_torch, contiguous=not is_torch)
    for key, value in (metadata or {}).items():
        if not isinstance(value, str):
            raise ArgumentError(
                "metadata is text", path=str(key), expected="str", found=type(value).__name__
            )
        builder.native.metadata(str(key), value)
    checkpoint = builder.finish(tree)
    _native.write(checkpoint, target, format, force, shard_bytes_max, progress)


def convert(
    source: Path,
    target: Path,
    *,
    to: str = "",
    shard_bytes_max: int = 0,
    only: Iterable[str] = (),
    rename: Union[Mapping[str, str], Iterable[tuple[str, str]]] = (),
    part: str = "all",
    force: bool = False,
    dry_run: bool = False,
    max_memory_bytes: int = 512 << 20,
    thread_count: int = 0,
    progress: Progress = None,
) -> dict[str, Any]:
    """Any readable checkpoint to safetensors, torch or npz: ``kilter convert``.

    Returns what the program prints with ``--json`` (spec/cli-json.md).

    >>> import kilter, numpy
    >>> kilter.save({"w": numpy.ones(2)}, "convert.safetensors")
    >>> report = kilter.convert("convert.safetensors", "converted.pt", force=True)
    >>> report["tensors"][0]["fate"]
    'copied'
    """
    pairs = rename.items() if isinstance(rename, Mapping) else rename
    text = _native.convert(
        os.fspath(source),
        os.fspath(target),
        to,
        shard_bytes_max,
        list(only),
        [(str(a), str(b)) for a, b in pairs],
        part,
        force,
        dry_run,
        max_memory_bytes,
        thread_count,
        progress,
    )
    return _dict(text)


def inspect(
    address: Path,
    *,
    hashes: bool = False,
    tensors: str = "",
    tree: bool = False,
    progress: Progress = None,
) -> dict[str, Any]:
    """What a file, folder or commit is: ``kilter inspect``. Headers alone are read.

    ``tensors`` is a glob ("*" for all) of tensors to list; ``tree`` adds the state; ``hashes`` reads
    every byte. Returns what the program prints with ``--json``.

    >>> import kilter, numpy
    >>> kilter.save({"w": numpy.ones(2)}, "inspect.safetensors")
    >>> kilter.inspect("inspect.safetensors")["format"]["name"]
    'safetensors'
    """
    return _dict(_native.inspect(os.fspath(address), hashes, tensors, tree, progress))


def scan(paths: Union[Path, Iterable[Path]], *, progress: Progress = None) -> dict[str, Any]:
    """Is it safe to load? ``kilter scan``: files and folders are judged, nothing of them is run.

    >>> import kilter, numpy
    >>> kilter.save({"w": numpy.ones(2)}, "scan.safetensors")
    >>> kilter.scan("scan.safetensors")["verdict"]
    'safe'
    """
    many = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    return _dict(_native.scan([os.fspath(path) for path in many], progress))


def verify(
    address: Path,
    *,
    numbers: bool = False,
    rescue: Optional[Path] = None,
    progress: Progress = None,
) -> dict[str, Any]:
    """Is it whole? ``kilter verify``. Damage is a report; ``rescue`` writes what is intact there.

    >>> import kilter, numpy
    >>> kilter.save({"w": numpy.ones(2)}, "verify.safetensors")
    >>> kilter.verify("verify.safetensors")["sound"]
    True
    """
    target = "" if rescue is None else os.fspath(rescue)
    return _dict(_native.verify(os.fspath(address), numbers, target, progress))


def _dict(text: str) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(text)
    return made
