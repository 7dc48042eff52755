"""Straight into a model: no second copy of it is made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple, Optional, Union

import torch

from . import _dtypes, _native
from .checkpoint import Path, Progress
from .errors import MismatchError

STAGING_BYTES = 64 << 20
_SHOWN = 12


class IncompatibleKeys(NamedTuple):
    """Names that did not fit; as torch's load_state_dict() returns them."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys}"


class Saved(NamedTuple):
    """A tensor of a checkpoint: its number, and what must agree."""

    number: int
    dtype: str
    shape: tuple[int, ...]
    nbytes: int


def load_into(
    model: Union[torch.nn.Module, Mapping[str, torch.Tensor]],
    address: Path,
    strict: bool = True,
    *,
    prefix: Optional[str] = None,
    verify: bool = True,
    progress: Progress = None,
) -> IncompatibleKeys:
    """Reads a checkpoint's tensors straight into a model's parameters and buffers, in parallel.

    ``model`` is a module, or a mapping of names to tensors. Missing and unexpected names and
    different shapes and dtypes are all listed in one :class:`kilter.MismatchError` before anything
    is changed; with ``strict=False`` missing and unexpected names are returned instead. Names that
    are tied are loaded once. ``prefix`` says what stands before the model's names in the file
    ("model."); by default it is found. What lies outside it is left alone, and so is an
    optimizer's state. ``verify`` compares with the checksums that the file has; a store's bytes are always checked.

    >>> import torch, kilter, kilter.torch
    >>> kilter.save(torch.nn.Linear(2, 1).state_dict(), "linear.safetensors")
    >>> kilter.torch.load_into(torch.nn.Linear(2, 1), "linear.safetensors")
    <All keys matched successfully>
    >>> try:
    ...     kilter.torch.load_into(torch.nn.Linear(3, 1, bias=False), "linear.safetensors")
    ... except kilter.MismatchError as error:
    ...     print(error.unexpected, error.different)
    ('bias',) ('weight: the file has f32 [1, 2], the model f32 [1, 3]',)
    """
    native = _native.open(os.fspath(address), False)
    targets = model.state_dict(keep_vars=True) if isinstance(model, torch.nn.Module) else model
    wanted = {name: value for name, value in targets.items() if isinstance(value, torch.Tensor)}
    saved = saved_tensors(native)
    prefix = find_prefix(wanted, saved) if prefix is None else prefix
    inside = {name[len(prefix) :]: row for name, row in saved.items() if name.startswith(prefix)}
    missing, unexpected, different = compare(wanted, inside)
    unexpected = _without_training_state(native, unexpected, inside)
    if different or (strict and (missing or unexpected)):
        raise mismatch(missing if strict else [], unexpected if strict else [], different, native.path)
    read_tensors(native, [(inside[name], wanted[name]) for name in wanted if name in inside],
                 verify, progress)
    return IncompatibleKeys(missing, unexpected)


def _without_training_state(
    native: _native.Checkpoint, names: list[str], inside: Mapping[str, Saved]
) -> list[str]:
    """Leaves out an optimizer's state, and the random state of a step that kilter.Saver wrote."""
    if not names:
        return names
    parts, is_step = native.parts, native.format == "folder"
    return [
        name
        for name in names
        if parts[inside[name].number] != "optimizer" and not (is_step and name.startswith("rng."))
    ]


def saved_tensors(native: _native.Checkpoint) -> dict[str, Saved]:
    """All tensors of a checkpoint by name."""
    rows: dict[str, Saved] = {}
    for number, name in enumerate(native.names):
        rows.setdefault(name, saved_row(native, number))
    return rows


def saved_row(native: _native.Checkpoint, number: int) -> Saved:
    """What is known of a tensor."""
    info = native.tensor_info(number)
    return Saved(number, info[1], info[2], info[6])


def find_prefix(wanted: Mapping[str, Any], saved: Mapping[str, Any]) -> str:
    """What stands before most of the model's names in the file."""
    counts: dict[str, int] = {"": sum(name in saved for name in wanted)}
    if counts[""] == len(wanted):
        return ""
    by_end: dict[str, list[str]] = {}
    for name in saved:
        by_end.setdefault(name.rpartition(".")[2], []).append(name)
    for name in wanted:
        for other in by_end.get(name.rpartition(".")[2], ()):
            if other.endswith("." + name):
                before = other[: -len(name)]
                counts[before] = counts.get(before, 0) + 1
    return max(counts, key=lambda before: (counts[before], -len(before)))


def compare(
    wanted: Mapping[str, torch.Tensor], inside: Mapping[str, Saved]
) -> tuple[list[str], list[str], list[str]]:
    """Names that are missing, that are too many, and how others differ."""
    loaded = {find_memory(wanted[name]) for name in wanted if name in inside}
    missing = [
        name for name in wanted if name not in inside and find_memory(wanted[name]) not in loaded
    ]
    unexpected = [name for name in inside if name not in wanted]
    different = []
    for name, tensor in wanted.items():
        row = inside.get(name)
        if row is None:
            continue
        dtype, shape = described(tensor)
        if tensor.is_meta:
            different.append(f"{name}: the model's has no memory (device meta)")
        elif (row.dtype, tuple(row.shape)) != (dtype, shape):
            different.append(
                f"{name}: the file has {row.dtype} {list(row.shape)}, the model {dtype} {list(shape)}"
            )
    return missing, unexpected, different


def described(tensor: torch.Tensor) -> tuple[str, tuple[int, ...]]:
    """Kilter's dtype and shape of a torch tensor."""
    dtype = _dtypes.name_of_torch(tensor.dtype) or str(tensor.dtype)
    shape = tuple(tensor.shape)
    if dtype == "f4_e2m1":  # torch counts pairs
        shape = (*shape[:-1], shape[-1] * 2) if shape else (2,)
    return dtype, shape


def find_memory(tensor: torch.Tensor) -> tuple[Any, ...]:
    """What tells two names of one tensor from two tensors."""
    if tensor.is_meta or tensor.numel() == 0:
        return (id(tensor),)
    return (tensor.device, tensor.data_ptr(), tuple(tensor.shape), tensor.stride())


def mismatch(
    missing: list[str], unexpected: list[str], different: list[str], path: str
) -> MismatchError:
    """One error that lists everything."""
    parts = []
    for what, names in (
        ("missing in the file", missing),
        ("not in the model", unexpected),
        ("different", different),
    ):
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            parts.append(f"{len(names)} {what}: {', '.join(names[:_SHOWN])}{more}")
    hint = "strict=False takes what is there" if missing or unexpected else ""
    if different:
        hint = "model.to(dtype) makes dtypes agree, model.to_empty(device='cpu') gives memory"
    return MismatchError(
        "the checkpoint does not fit the model: " + "; ".join(parts),
        path=path,
        missing=missing,
        unexpected=unexpected,
        different=different,
        hint=hint,
    )


def read_tensors(
    native: _native.Checkpoint,
    pairs: list[tuple[Saved, torch.Tensor]],
    verify: bool,
    progress: Progress,
) -> None:
    """Reads into tensors of the same dtype and shape, wherever they are; those that share memory
    once."""
    direct: list[tuple[int, int, int]] = []
    detours: list[tuple[Saved, torch.Tensor]] = []
    seen: set[tuple[Any, ...]] = set()
    for row, tensor in pairs:
        memory = find_memory(tensor)
        if memory in seen or row.nbytes == 0:
            continue
        seen.add(memory)
        plain = tensor.layout is torch.strided and tensor.is_contiguous()
        if tensor.device.type == "cpu" and plain and not (tensor.is_conj() or tensor.is_neg()):
            direct.append((row.number, tensor.data_ptr(), row.nbytes))
        else:
            detours.append((row, tensor))
    if direct:
        native.load_into(direct, verify, progress)
    if detours:
        _through_staging(native, detours, verify, progress)
    for _, tensor in pairs:
        torch.autograd.graph.increment_version(tensor)


def _through_staging(
    native: _native.Checkpoint,
    pairs: list[tuple[Saved, torch.Tensor]],
    verify: bool,
    progress: Progress,
) -> None:
    """Through two buffers: while one is copied to the device, the other is filled."""
    most = max(STAGING_BYTES, max(row.nbytes for row, _ in pairs))
    pinned = torch.cuda.is_available() and any(t.device.type == "cuda" for _, t in pairs)
    buffers = [
        torch.empty(most, dtype=torch.uint8, pin_memory=pinned)
        for _ in range(2 if len(pairs) > 1 else 1)
    ]
    events: list[Any] = [None, None]
    turn = 0
    waiting = list(pairs)
    while waiting:
        if events[turn] is not None:
            events[turn].synchronize()
        buffer, used, batch = buffers[turn], 0, []
        while waiting and used + waiting[0][0].nbytes <= most:
            row, tensor = waiting.pop(0)
            batch.append((row, tensor, used))
            used += (row.nbytes + 63) // 64 * 64
        jobs = [(row.number, buffer.data_ptr() + at, row.nbytes) for row, _, at in batch]
        native.load_into(jobs, verify, progress)
        with torch.no_grad():
            for row, tensor, at in batch:
                raw = buffer[at : at + row.nbytes].view(tensor.dtype).view(tensor.shape)
                tensor.detach().copy_(raw, non_blocking=pinned)
        if pinned:
            events[turn] = torch.cuda.Event()  # type: ignore[no-untyped-call]
            events[turn].record()
        turn = (turn + 1) % len(buffers)
    for event in events:
        if event is not None:
            event.synchronize()
