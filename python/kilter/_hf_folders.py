"""checkpoint-N folders of a Trainer from steps, and steps from them."""

from __future__ import annotations

import json
import os
import shutil
import types
from collections.abc import Mapping
from typing import Any, Optional

import numpy as np
import torch

from . import torch as kilter_torch
from ._hf_parts import ADAPTER, MODEL, MORE_ADAPTERS, STATE_FILE, _files_of, metadata_of
from ._steps import Step, numbered, use_newest
from .checkpoint import Path, load
from .errors import AlreadyExistsError, NotFoundError, UnsupportedError
from .saver import Saver, SaveReport

_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_ADAPTERS = ("adapter_model.safetensors", "adapter_model.bin")
_OPTIMIZER, _SCHEDULER, _SCALER = "optimizer.pt", "scheduler.pt", "scaler.pt"


def export_checkpoint(address: Path, folder: Path, *, force: bool = False) -> int:
    """Writes a step as a checkpoint-N folder, from which a Trainer without Kilter resumes.

    Whole or not at all. ``force`` replaces what is there. Returns the step. The Trainer's pickled
    training_args.bin, which it does not read, is not written; training_args.json says the same.

    >>> import torch, transformers, kilter.hf
    >>> config = transformers.GPT2Config(
    ...     n_layer=1, n_head=1, n_embd=8, vocab_size=16, n_positions=8, bos_token_id=0, eos_token_id=1)
    >>> rows = [{"input_ids": torch.arange(8), "labels": torch.arange(8)}] * 8
    >>> arguments = transformers.TrainingArguments(
    ...     "exported", max_steps=2, save_steps=2, use_cpu=True, report_to=[], disable_tqdm=True)
    >>> trainer = transformers.Trainer(
    ...     transformers.GPT2LMHeadModel(config), arguments, train_dataset=rows,
    ...     callbacks=[kilter.hf.Checkpoints("exporting.kilter")])
    >>> _ = trainer.pop_callback(transformers.PrinterCallback), trainer.train()
    >>> kilter.hf.export_checkpoint("exporting.kilter@step:2", "exported/checkpoint-2")
    2
    >>> kilter.hf.import_checkpoint("exported/checkpoint-2", "imported.kilter").step
    2
    """
    target = os.path.abspath(os.fspath(folder))
    if os.path.lexists(target) and not force:
        raise AlreadyExistsError("it is there already", path=target, hint="force=True replaces it")
    os.makedirs(os.path.dirname(target), exist_ok=True)
    partial = f"{target}.kilter-{os.getpid()}"
    try:
        number = use_newest(address, lambda step: _write(step, partial))
        if number is None:
            raise NotFoundError("there is no step in it", path=os.fspath(address))
        if os.path.isdir(target):
            shutil.rmtree(target)
        os.rename(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return number


def _write(step: Step, folder: str) -> int:
    if step.file(STATE_FILE) is None:
        raise UnsupportedError(
            "this step is not of a Trainer", path=step.address, expected=STATE_FILE
        )
    step.store.restore(step.commit, folder, force=True)
    for name in os.listdir(folder):
        stem, _, ending = name.partition(".")
        own = ending == "state.json" or ending == "safetensors" and stem not in (MODEL, ADAPTER)
        if own:
            os.remove(os.path.join(folder, name))
    tree = step.tree(skip=(MODEL, ADAPTER))
    if "optimizer" in tree:
        _save(numbered(tree["optimizer"]), folder, _OPTIMIZER)
    for key, name in (("scheduler", _SCHEDULER), ("scaler", _SCALER)):
        if key in tree:
            _save(tree[key], folder, name)
    ranks = tree.get("ranks") or ([tree["rng"]] if "rng" in tree else [])
    for rank, state in enumerate(ranks):
        name = "rng_state.pth" if len(ranks) == 1 else f"rng_state_{rank}.pth"
        _save(_trainers_random(state, len(ranks) > 1), folder, name)
    for name, tensors in tree.get(MORE_ADAPTERS, {}).items():
        _save_tensors(tensors, os.path.join(folder, name))
    return step.step


def _save(value: Any, folder: str, name: str) -> None:
    kilter_torch.save(value, os.path.join(folder, name))


def _save_tensors(tensors: Mapping[str, torch.Tensor], folder: str) -> None:
    from .verbs import save

    os.makedirs(folder, exist_ok=True)
    save(dict(tensors), os.path.join(folder, _ADAPTERS[0]), force=True)


def _named(saved: Mapping[str, Any]) -> dict[str, Any]:
    """The way back, where nobody knows the names."""
    groups = [
        {**group, "params": [f"#{number}" for number in group["params"]]}
        for group in saved["param_groups"]
    ]
    state = {
        f"#{key}" if isinstance(key, int) else key: value for key, value in saved["state"].items()
    }
    return {**saved, "state": state, "param_groups": groups}


# Random states ---------------------------------------------------------------


def _trainers_random(state: Mapping[str, Any], distributed: bool) -> dict[str, Any]:
    python, words = state["python"], state["numpy"]
    numbers = tuple(int(number) for number in np.asarray(python["numbers"]))
    made: dict[str, Any] = {
        "python": (python["version"], numbers, python["next"]),
        "numpy": (
            words["kind"],
            torch.as_tensor(words["words"]),
            words["position"],
            words["has_gauss"],
            words["gauss"],
        ),
        "cpu": torch.as_tensor(state["torch"]),
    }
    if state.get("cuda"):
        made["cuda"] = list(state["cuda"]) if distributed else state["cuda"][0]
    return made


def _own_random(state: Mapping[str, Any]) -> dict[str, Any]:
    version, numbers, following = state["python"]
    kind, words, position, has_gauss, gauss = state["numpy"]
    made: dict[str, Any] = {
        "python": {
            "version": version,
            "numbers": np.array(numbers, dtype=np.uint32),
            "next": following,
        },
        "numpy": {
            "kind": str(kind),
            "words": np.array(words, dtype=np.uint32),
            "position": int(position),
            "has_gauss": int(has_gauss),
            "gauss": float(gauss),
        },
        "torch": state["cpu"],
    }
    if "cuda" in state:
        cuda = state["cuda"]
        made["cuda"] = list(cuda) if isinstance(cuda, (list, tuple)) else [cuda]
    return made


# Import ----------------------------------------------------------------------


def import_checkpoint(folder: Path, store: Path, *, branch: str = "main") -> SaveReport:
    """Saves a checkpoint-N folder as a step, from which ``train(resume_from_checkpoint=…)`` resumes.

    Nothing in the folder is executed. Optimizer state keeps the numbers that the folder has for
    names of parameters; the next save of a run knows the names. Durable when it returns.
    :func:`export_checkpoint` has an example; or, of weights alone:

    >>> import kilter.hf, numpy, os
    >>> os.makedirs("checkpoint-7", exist_ok=True)
    >>> kilter.save({"w": numpy.ones(2)}, "checkpoint-7/model.safetensors")
    >>> with open("checkpoint-7/trainer_state.json", "w") as file:
    ...     _ = file.write('{"global_step": 7, "log_history": [{"step": 7, "loss": 2.5}]}')
    >>> kilter.hf.import_checkpoint("checkpoint-7", "seven.kilter").step
    7
    >>> kilter.Store("seven.kilter").find("best:loss").step
    7
    """
    root = os.fspath(folder)
    state_path = os.path.join(root, STATE_FILE)
    if not os.path.isfile(state_path):
        raise NotFoundError("this is no folder of a Trainer", path=root, expected=STATE_FILE)
    with open(state_path, encoding="utf-8") as file:
        plain = json.load(file)
    parts = {**_weights(root), **_training(root)}
    state = types.SimpleNamespace(
        log_history=plain.get("log_history", []),
        global_step=plain["global_step"],
        epoch=plain.get("epoch"),
    )
    saver = Saver(store, branch=branch, rng=False)
    ticket = saver.save(
        plain["global_step"], metadata=metadata_of(state), files=_files_of(root), **parts
    )
    return ticket.wait()


def _weights(root: str) -> dict[str, Any]:
    path = _first(root, _WEIGHTS)
    if path is not None:
        return {MODEL: dict(load(path, framework="torch", mmap=True))}
    found: dict[str, Any] = {}
    path = _first(root, _ADAPTERS)
    if path is not None:
        found[ADAPTER] = dict(load(path, framework="torch", mmap=True))
    more = {}
    for name in sorted(os.listdir(root)):
        path = _first(os.path.join(root, name), _ADAPTERS)
        if path is not None:
            more[name] = dict(load(path, framework="torch", mmap=True))
    if more:
        if not found:  # peft puts the only one into a folder of its own name
            found[ADAPTER] = more.pop(min(more))
        if more:
            found[MORE_ADAPTERS] = more
    if not found:
        raise NotFoundError(
            "there are no weights in it",
            path=root,
            expected=" or ".join(_WEIGHTS + _ADAPTERS),
            hint="kilter convert reads folders of sharded training (FSDP, DeepSpeed)",
        )
    return found


def _first(root: str, names: tuple[str, ...]) -> Optional[str]:
    for name in names:
        path = os.path.join(root, name)
        if os.path.isfile(path):
            return path
    return None


def _training(root: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    path = _first(root, (_OPTIMIZER, "optimizer.bin"))
    if path is not None:
        found["optimizer"] = _named(kilter_torch.load(path, map_location="cpu", mmap=True))
    for key, name in (("scheduler", _SCHEDULER), ("scaler", _SCALER)):
        path = _first(root, (name,))
        if path is not None:
            found[key] = kilter_torch.load(path, map_location="cpu")
    names = ["rng_state.pth"]
    if not os.path.isfile(os.path.join(root, names[0])):
        count = sum(name.startswith("rng_state_") for name in os.listdir(root))
        names = [f"rng_state_{rank}.pth" for rank in range(count)]
    paths = [os.path.join(root, name) for name in names]
    if paths and all(os.path.isfile(path) for path in paths):
        found["ranks"] = [
            _own_random(kilter_torch.load(path, map_location="cpu")) for path in paths
        ]
    return found
