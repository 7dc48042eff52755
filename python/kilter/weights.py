"""New weights from those there are: the program's operations on weights as functions.

Each returns what the program prints with ``--json`` (spec/cli-json.md). Sums are computed in binary64
and rounded once; the bytes are the same for any number of threads and any budget. What does not fit
together is named before anything is written; ``allow`` lets single kinds of it pass ("missing",
"extra", "shape", "dtype", "values", "nonfinite", "overflow").
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional, Union

from . import _native
from .checkpoint import Path, Progress
from .errors import ArgumentError

__all__ = [
    "average",
    "cast",
    "delta_apply",
    "delta_make",
    "diff",
    "ema",
    "merge",
    "prune",
    "rename",
    "shard",
    "stats",
    "strip",
]


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
    scales: str = "none",
    block: tuple[int, int] = (128, 128),
    progress: Progress = None,
    **output: Any,
) -> dict[str, Any]:
    """Floats in another dtype, rounded once to nearest, ties to even: ``kilter cast``.

    ``dtype`` is "f64", "f32", "bf16", "f16", "f8_e4m3" or "f8_e5m2"; ``keep`` maps globs of names to
    other ones, the first that matches. ``output`` takes ``to``, ``shard_bytes_max``, ``allow``,
    ``force``, ``dry_run``, ``max_memory_bytes`` and ``thread_count``. Numbers too large for the dtype
    are an error, unless ``allow=["overflow"]``. With f8, ``scales`` is "deepseek" (one for each
    ``block``), "compressed-tensors" or "comfyui"; f8 that has scales is multiplied with them.

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
        scales,
        block,
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


def prune(
    source: Path,
    target: Path,
    *,
    sparsity: Optional[float] = None,
    by: str = "tensor",
    pattern: Optional[tuple[int, int]] = None,
    structured: str = "",
    fraction: float = 0.0,
    head_count: int = 0,
    mask_from: Optional[Path] = None,
    mask: Optional[Path] = None,
    only: Iterable[str] = (),
    exclude: Iterable[str] = (),
    progress: Progress = None,
    **output: Any,
) -> dict[str, Any]:
    """Weights set to zero: ``kilter prune``. Give one of these:

    ``sparsity=0.5`` zeroes the smallest half of each tensor (``by="global"``: of all together);
    ``pattern=(2, 4)`` all but the two largest of each four neighbours; ``structured="rows"`` (or
    "columns", "heads") with ``fraction`` those of smallest norm; ``mask_from`` what its bool tensors
    say. ``mask`` is where the masks are written. ``only`` and ``exclude`` are globs of names; else the
    weights of linear layers are pruned. ``output`` as for :func:`cast`.

    >>> import kilter, numpy
    >>> kilter.save({"a.weight": numpy.array([[3.0, 1, -2, 0.5]])}, "dense.safetensors")
    >>> report = kilter.prune("dense.safetensors", "sparse.safetensors", pattern=(2, 4), force=True)
    >>> kilter.open("sparse.safetensors")["a.weight"].numpy().tolist(), report["zeros_after"]
    ([[3.0, 0.0, -2.0, 0.0]], 2)
    """
    ways = [sparsity is not None, pattern is not None, bool(structured), mask_from is not None]
    if sum(ways) != 1:
        raise ArgumentError("give one of sparsity, pattern, structured and mask_from")
    if by not in ("tensor", "global"):
        raise ArgumentError("by is 'tensor' or 'global'")
    way = structured or ("magnitude", "pattern", "", "mask")[ways.index(True)]
    text = _native.prune(
        os.fspath(source),
        os.fspath(target),
        way,
        fraction if sparsity is None else sparsity,
        by == "global",
        pattern or (2, 4),
        head_count,
        (list(only), list(exclude)),
        ("" if mask_from is None else os.fspath(mask_from), "" if mask is None else os.fspath(mask)),
        _output(**output),
        progress,
    )
    return _report(text)


def strip(
    source: Path,
    target: Path,
    *,
    part: str = "weights",
    keep_ema: bool = False,
    keep_metadata: bool = True,
    keep: Iterable[str] = (),
    drop: Iterable[str] = (),
    progress: Progress = None,
    **output: Any,
) -> dict[str, Any]:
    """Weights without optimizer, EMA and whatever else only training needed: ``kilter strip``.

    ``part="ema"`` puts the EMA's numbers in the weights' places; ``keep`` and ``drop`` are globs of
    names. ``output`` as for :func:`cast`.

    >>> import kilter, numpy
    >>> kilter.save({"w": numpy.ones(2), "loss.v": numpy.ones(9)}, "whole.safetensors")
    >>> report = kilter.strip("whole.safetensors", "stripped.safetensors", force=True)
    >>> [(row["name"], row["fate"]) for row in report["tensors"]]
    [('loss.v', 'dropped'), ('w', 'copied')]
    """
    if part not in ("weights", "ema"):
        raise ArgumentError("part is 'weights' or 'ema'")
    text = _native.strip(
        os.fspath(source),
        os.fspath(target),
        part == "ema",
        keep_ema,
        keep_metadata,
        list(keep),
        list(drop),
        _output(**output),
        progress,
    )
    return _report(text)


def rename(
    source: Path,
    target: Path,
    rules: Mapping[str, str],
    *,
    progress: Progress = None,
    **output: Any,
) -> dict[str, Any]:
    """Tensors under other names: ``kilter rename``.

    ``rules`` maps prefixes, or patterns with one ``*``, to what takes their places; in order.

    >>> import kilter, numpy
    >>> kilter.save({"module.w": numpy.ones(2)}, "wrapped.safetensors")
    >>> report = kilter.rename("wrapped.safetensors", "bare.safetensors", {"module.": ""}, force=True)
    >>> list(kilter.open("bare.safetensors"))
    ['w']
    """
    text = _native.rename(
        os.fspath(source), os.fspath(target), list(rules.items()), _output(**output), progress
    )
    return _report(text)


def shard(
    source: Path, target: Path, shard_bytes_max: int = 0, *, progress: Progress = None, **output: Any
) -> dict[str, Any]:
    """The same tensors in shards of at most so many bytes, or (0) in one file: ``kilter shard``.

    >>> import kilter, numpy
    >>> kilter.save({"a": numpy.ones(100), "b": numpy.ones(100)}, "one.safetensors")
    >>> report = kilter.shard("one.safetensors", "shards", 1000, force=True)
    >>> [file["name"] for file in report["files"]][:2]
    ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']
    """
    text = _native.shard(
        os.fspath(source),
        os.fspath(target),
        _output(shard_bytes_max=shard_bytes_max, **output),
        progress,
    )
    return _report(text)


def diff(
    a: Path,
    b: Path,
    *,
    against: Optional[Path] = None,
    spectrum: Union[int, str, None] = None,
    thread_count: int = 0,
    progress: Progress = None,
) -> dict[str, Any]:
    """What differs between two checkpoints, number by number: ``kilter diff``.

    Of each tensor: what changed ("identical", "equal after rounding", "changed", …), how many numbers,
    the largest difference, mean, RMS, cosine, and the difference's norm relative to a's; by which rule
    it was matched where it has another name. ``against`` is a third checkpoint: does b lie between a and
    it? ``spectrum`` is how many of the most changed matrices are taken apart (or "all"). The report's
    ``guesses`` say what made b of a.

    >>> import kilter, numpy
    >>> kilter.save({"w": numpy.ones(4)}, "diff_a.safetensors")
    >>> kilter.save({"w": numpy.array([1, 1, 1, 3.0])}, "diff_b.safetensors")
    >>> row = kilter.diff("diff_a.safetensors", "diff_b.safetensors")["tensors"][0]
    >>> row["change"], row["changed"], row["rms"]
    ('changed', 1, 1.0)
    """
    if isinstance(spectrum, str) and spectrum != "all":
        raise ArgumentError("spectrum is a number, or 'all'")
    if isinstance(spectrum, int) and spectrum < 0:
        raise ArgumentError("spectrum is a number from 0 on, or 'all'")
    count = -2 if spectrum is None else -1 if isinstance(spectrum, str) else spectrum
    third = "" if against is None else os.fspath(against)
    return _report(
        _native.diff(os.fspath(a), os.fspath(b), third, count, thread_count, progress)
    )


def stats(
    address: Path,
    *,
    only: Sequence[str] = (),
    outlier_sigma: float = 5,
    thread_count: int = 0,
    progress: Progress = None,
) -> dict[str, Any]:
    """What numbers a checkpoint holds: ``kilter stats``.

    Of each tensor (those whose names fit a glob of ``only``) and in all: range, mean, deviation, norms,
    kurtosis, histograms, zeros, NaN, and rows and columns that are dead or whose norm is above the mean
    of all by more than ``outlier_sigma`` deviations.

    >>> import kilter, numpy
    >>> kilter.save({"w": numpy.array([[1, 2], [0, 0.0]])}, "stats.safetensors")
    >>> row = kilter.stats("stats.safetensors")["tensors"][0]
    >>> row["mean"], row["max"], row["zero"], row["rows"]["dead"]
    (0.75, 2.0, 2, 1)
    """
    return _report(
        _native.stats(os.fspath(address), list(only), outlier_sigma, thread_count, progress)
    )


def delta_make(
    base: Path, tuned: Path, target: Path, *, progress: Progress = None, **output: Any
) -> dict[str, Any]:
    """What ``tuned`` has beyond ``base``, exact to the bit: ``kilter delta make``.

    ``output`` takes ``force``, ``dry_run``, ``max_memory_bytes`` and ``thread_count``.

    >>> import kilter, numpy
    >>> kilter.save({"w": numpy.ones(4), "v": numpy.ones(2)}, "delta_base.safetensors")
    >>> kilter.save({"w": numpy.ones(4), "v": numpy.zeros(2)}, "delta_tuned.safetensors")
    >>> report = kilter.delta_make("delta_base.safetensors", "delta_tuned.safetensors",
    ...                            "delta.safetensors", force=True)
    >>> sorted((row["name"], row["fate"]) for row in report["tensors"])
    [('v', 'whole'), ('w', 'same')]
    >>> again = kilter.delta_apply("delta_base.safetensors", "delta.safetensors",
    ...                            "delta_again.safetensors", force=True)
    >>> kilter.open("delta_again.safetensors")["v"].numpy().tolist()
    [0.0, 0.0]
    """
    return _delta(True, base, tuned, target, output, progress)


def delta_apply(
    base: Path, delta: Path, target: Path, *, progress: Progress = None, **output: Any
) -> dict[str, Any]:
    """The checkpoint that ``delta`` was made of, again: ``kilter delta apply``. Another base is refused.

    ``output`` as for :func:`cast`, without ``allow``.

    >>> import kilter, numpy
    >>> kilter.save({"w": numpy.ones(3)}, "apply_base.safetensors")
    >>> kilter.save({"w": numpy.full(3, 2.0)}, "apply_tuned.safetensors")
    >>> report = kilter.delta_make("apply_base.safetensors", "apply_tuned.safetensors",
    ...                            "apply_delta.safetensors", force=True)
    >>> report = kilter.delta_apply("apply_base.safetensors", "apply_delta.safetensors",
    ...                             "apply_again.safetensors", force=True)
    >>> kilter.open("apply_again.safetensors")["w"].numpy().tolist()
    [2.0, 2.0, 2.0]
    """
    return _delta(False, base, delta, target, output, progress)


def ema(
    sources: Iterable[Path] | Path,
    target: Path,
    decay: float = 0.999,
    *,
    warm_up: bool = False,
    gamma: Optional[float] = None,
    correct_bias: bool = False,
    dtype: str = "",
    progress: Progress = None,
    **output: Any,
) -> dict[str, Any]:
    """The moving average of checkpoints, oldest first: ``kilter ema``.

    One address in a store ("runs.kilter@main") stands for its steps. ``decay`` counts checkpoints;
    ``warm_up`` is min(decay, (1 + n) / (10 + n)), ``gamma`` the power function (1 - 1/n)^(gamma + 1).

    >>> import kilter, numpy
    >>> for i in (0, 4):
    ...     kilter.save({"w": numpy.full(2, i, "float32")}, f"ema_{i}.safetensors")
    >>> report = kilter.ema(["ema_0.safetensors", "ema_4.safetensors"], "ema.safetensors", 0.75,
    ...                     force=True)
    >>> report["coefficients"], kilter.open("ema.safetensors")["w"].numpy().tolist()
    ([0.75, 0.25], [1.0, 1.0])
    """
    if isinstance(sources, (str, os.PathLike)):
        sources = [sources]
    if gamma is not None and warm_up:
        raise ArgumentError("warm_up goes with decay")
    kind = "power" if gamma is not None else "warm-up" if warm_up else "constant"
    text = _native.ema(
        [os.fspath(path) for path in sources],
        os.fspath(target),
        kind,
        float(decay if gamma is None else gamma),
        correct_bias,
        dtype,
        _output(**output),
        progress,
    )
    return _report(text)


def _delta(
    make: bool,
    base: Path,
    other: Path,
    target: Path,
    output: Mapping[str, Any],
    progress: Progress,
) -> dict[str, Any]:
    text = _native.delta(
        make, os.fspath(base), os.fspath(other), os.fspath(target), _output(**output), progress
    )
    return _report(text)


def _report(text: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(text)
    return report
