"""New weights from those there are: the program's cast, average, merge and diff as functions.

Each returns what the program prints with ``--json`` (spec/cli-json.md). Sums are computed in binary64
and rounded once; the bytes are the same for any number of threads and any budget. What does not fit
together is named before anything is written; ``allow`` lets single kinds of it pass ("missing",
"extra", "shape", "dtype", "values", "nonfinite", "overflow").
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, Optional

from . import _native
from .checkpoint import Path, Progress
from .errors import ArgumentError

__all__ = ["average", "cast", "diff", "merge"]


def _output(
    to: str = "",
    shard_bytes_max: int = 0,
    allow: Iterable[str] = (),
    force: bool = False,
    dry_run: bool = False,
    max_memory_bytes: int = 512 << 20,
    thread_count: int = 0,
) -> Any:
    return _native.WeightsOutput(
        to, shard_bytes_max, list(allow), force, dry_run, max_memory_bytes, thread_count
    )


def cast(
    source: Path,
    target: Path,
    dtype: str = "bf16",
    *,
    keep: Optional[Mapping[str, str]] = None,
    progress: Progress = None,
    **output: Any,
) -> dict[str, Any]:
    """Floats in another dtype, rounded once to nearest, ties to even: ``kilter cast``.

    ``dtype`` is "f64", "f32", "bf16", "f16", "f8_e4m3" or "f8_e5m2"; ``keep`` maps globs of names to
    other ones, the first that matches. ``output`` takes ``to``, ``shard_bytes_max``, ``allow``,
    ``force``, ``dry_run``, ``max_memory_bytes`` and ``thread_count``. Numbers too large for the dtype
    are an error, unless ``allow=["overflow"]``.

    >>> import kilter, numpy
    >>> kilter.save({"w": numpy.full(3, 0.1, "float32")}, "cast.safetensors")
    >>> report = kilter.cast("cast.safetensors", "half.safetensors", "f16", force=True)
    >>> report["tensors"][0]["to"], round(report["largest_error"], 7)
    ('f16', 2.44e-05)
    """
    text = _native.cast(
        os.fspath(source),
        os.fspath(target),
        dtype,
        list((keep or {}).items()),
        _output(**output),
        progress,
    )
    return _report(text)


def average(
    sources: Iterable[Path],
    target: Path,
    weights: Iterable[float] = (),
    *,
    dtype: str = "",
    progress: Progress = None,
    **output: Any,
) -> dict[str, Any]:
    """The weighted mean of checkpoints of one model: ``kilter average``.

    ``weights`` (default: all alike) are divided by their sum. ``dtype`` (default: as in the first
    source) and ``output`` as for :func:`cast`.

    >>> import kilter, numpy
    >>> for i in (1, 3):
    ...     kilter.save({"w": numpy.full(2, i, "float32")}, f"average_{i}.safetensors")
    >>> report = kilter.average(["average_1.safetensors", "average_3.safetensors"],
    ...                         "averaged.safetensors", force=True)
    >>> kilter.open("averaged.safetensors")["w"].numpy().tolist()
    [2.0, 2.0]
    """
    paths = [os.fspath(source) for source in sources]
    text = _native.average(
        paths,
        [float(weight) for weight in weights],
        os.fspath(target),
        dtype,
        _output(**output),
        progress,
    )
    return _report(text)


def merge(
    a: Path,
    b: Path,
    target: Path,
    *,
    weighted: Optional[float] = None,
    slerp: Optional[float] = None,
    add_difference: Optional[float] = None,
    c: Optional[Path] = None,
    block_weights: str = "",
    vae: Optional[Path] = None,
    ema: str = "drop",
    discard: Iterable[str] = (),
    dtype: str = "",
    progress: Progress = None,
    **output: Any,
) -> dict[str, Any]:
    """Two models blended: ``kilter merge``. Give one of these:

    ``weighted=m`` is (1 - m) a + m b; ``slerp=t`` goes from a to b on the arc between them, tensor by
    tensor; ``add_difference=m`` is a + m (b - c). ``dtype`` and ``output`` as for :func:`average`.

    Of Stable Diffusion checkpoints: ``block_weights`` gives ratios block by block ("BASE=0.2,IN=0.5",
    26 or 20 numbers, or a preset's name), ``vae`` replaces the image decoder, ``ema`` says what becomes
    of ``model_ema.`` ("drop", "keep", "use"), ``discard`` lists globs of names to leave out.

    >>> import kilter, numpy
    >>> for i in (1, 3):
    ...     kilter.save({"w": numpy.full(2, i, "float32")}, f"merge_{i}.safetensors")
    >>> report = kilter.merge("merge_1.safetensors", "merge_3.safetensors", "merged.safetensors",
    ...                       weighted=0.25, force=True)
    >>> kilter.open("merged.safetensors")["w"].numpy().tolist()
    [1.5, 1.5]
    """
    ways = {"weighted": weighted, "slerp": slerp, "add_difference": add_difference}
    given = [(name, value) for name, value in ways.items() if value is not None]
    if len(given) != 1:
        raise ArgumentError("give one of weighted, slerp and add_difference")
    name, value = given[0]
    if (c is not None) != (name == "add_difference"):
        raise ArgumentError("c goes with add_difference")
    paths = [os.fspath(path) for path in (a, b, c) if path is not None]
    extras = _native.MergeExtras(
        block_weights, "" if vae is None else os.fspath(vae), ema, list(discard)
    )
    way = name.replace("_", "-")
    text = _native.merge(
        way, paths, float(value), os.fspath(target), dtype, extras, _output(**output), progress
    )
    return _report(text)


def diff(a: Path, b: Path, *, thread_count: int = 0, progress: Progress = None) -> dict[str, Any]:
    """What differs between two checkpoints, number by number: ``kilter diff``.

    Of each tensor: what changed ("identical", "equal after rounding", "changed", …), how many numbers,
    the largest difference, mean, RMS, cosine, and the difference's norm relative to a's.

    >>> import kilter, numpy
    >>> kilter.save({"w": numpy.ones(4)}, "diff_a.safetensors")
    >>> kilter.save({"w": numpy.array([1, 1, 1, 3.0])}, "diff_b.safetensors")
    >>> row = kilter.diff("diff_a.safetensors", "diff_b.safetensors")["tensors"][0]
    >>> row["change"], row["changed"], row["rms"]
    ('changed', 1, 1.0)
    """
    return _report(_native.diff(os.fspath(a), os.fspath(b), thread_count, progress))


def _report(text: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(text)
    return report
