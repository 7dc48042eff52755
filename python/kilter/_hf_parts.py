"""What of a Trainer goes into a step, and how it comes back."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Optional

import torch

from ._into import described, mismatch
from ._resume import _load_optimizer
from ._steps import Step
from ._train_state import numbered_state, parameter_names, random_state, set_random_state

#: Names of parts, which are names of files in a step.
MODEL, ADAPTER, MORE_ADAPTERS, TRAINABLE = "model", "adapter_model", "more_adapters", "trainable"
STATE_FILE, ARGS_FILE = "trainer_state.json", "training_args.json"
_FILE_BYTES_MAX = 256 << 20
_NOT_FILES = (".safetensors", ".bin", ".pt", ".pth", ".index.json")
_NOISE = ("runtime", "per_second", "total_flos", "step")


def is_peft(model: Any) -> bool:
    """A PeftModel, without importing peft where nobody did."""
    return any(kind.__module__.startswith("peft.") for kind in type(model).__mro__)


def inner_optimizer(optimizer: Any) -> Any:
    """torch's own behind accelerate's."""
    return getattr(optimizer, "optimizer", optimizer)


# Adapters --------------------------------------------------------------------


class Adapters:
    """A PeftModel's adapters: what training changes of it, without the base."""

    def __init__(self, model: Any) -> None:
        self.model = model
        names = list(model.peft_config)
        #: The one whose files lie at the top.
        self.first: str = "default" if "default" in names else names[0]
        self.others: list[str] = [name for name in names if name != self.first]

    def tensors(self, name: str) -> dict[str, torch.Tensor]:
        """Of one adapter, named as peft names them in files."""
        from peft import get_peft_model_state_dict

        found: dict[str, torch.Tensor] = get_peft_model_state_dict(self.model, adapter_name=name)
        return found

    def trainable(self, covered: Iterable[torch.Tensor]) -> dict[str, torch.Tensor]:
        """Parameters of the base that are trained all the same."""
        known = {tensor.data_ptr() for tensor in covered}
        return {
            name: parameter
            for name, parameter in self.model.named_parameters()
            if parameter.requires_grad and parameter.data_ptr() not in known
        }

    def parts(self) -> dict[str, Any]:
        """For Saver.save()."""
        first = self.tensors(self.first)
        others = {name: self.tensors(name) for name in self.others}
        covered = [*first.values(), *(t for one in others.values() for t in one.values())]
        more = {MORE_ADAPTERS: others} if others else {}
        trainable = self.trainable(covered)
        return {ADAPTER: first, **more, **({TRAINABLE: trainable} if trainable else {})}

    def load(self, tree: Mapping[str, Any], step: Step) -> None:
        """The way back, strictly."""
        from peft import set_peft_model_state_dict

        live = self.parts()
        if ADAPTER not in tree and MODEL in tree:  # what a folder has for weights is its model
            tree = {**tree, ADAPTER: tree[MODEL]}
        _compare(live, tree, step)
        set_peft_model_state_dict(self.model, tree[ADAPTER], adapter_name=self.first)
        for name in self.others:
            set_peft_model_state_dict(self.model, tree[MORE_ADAPTERS][name], adapter_name=name)
        with torch.no_grad():
            for name, parameter in live.get(TRAINABLE, {}).items():
                parameter.copy_(tree[TRAINABLE][name])

    def files(self) -> dict[str, bytes]:
        """adapter_config.json of each."""
        found = {}
        with tempfile.TemporaryDirectory() as folder:
            for name, config in self.model.peft_config.items():
                place = os.path.join(folder, "" if name == self.first else name)
                training, config.inference_mode = config.inference_mode, True
                base = config.base_model_name_or_path
                if base is None:
                    inner = self.model.base_model
                    inner = inner if config.is_prompt_learning else inner.model
                    config.base_model_name_or_path = inner.__dict__.get("name_or_path", None)
                try:
                    config.save_pretrained(place)
                finally:
                    config.inference_mode, config.base_model_name_or_path = training, base
            found.update(_files_of(folder))
        return found


def _compare(live: Mapping[str, Any], tree: Mapping[str, Any], step: Step) -> None:
    missing: list[str] = []
    unexpected: list[str] = []
    different: list[str] = []
    for key in (ADAPTER, MORE_ADAPTERS, TRAINABLE):
        here, saved = dict(_flat(live.get(key), key)), dict(_flat(tree.get(key), key))
        missing.extend(name for name in here if name not in saved)
        unexpected.extend(name for name in saved if name not in here)
        for name in here.keys() & saved.keys():
            if described(here[name])[1] != described(saved[name])[1]:
                different.append(
                    f"{name}: the step has {list(saved[name].shape)}, here is "
                    f"{list(here[name].shape)}"
                )
    if missing or unexpected or different:
        raise mismatch(missing, unexpected, different, step.address)


def _flat(tree: Any, path: str) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(tree, torch.Tensor):
        yield path, tree
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _flat(value, f"{path}.{key}")


# Weights ---------------------------------------------------------------------


class Named:
    """Tensors as a part, whose model names the parameters in optimizer state."""

    def __init__(self, model: Any, tensors: dict[str, torch.Tensor]) -> None:
        self._model = model
        self._tensors = tensors

    def named_parameters(self, **options: Any) -> Iterator[tuple[str, Any]]:
        found: Iterator[tuple[str, Any]] = self._model.named_parameters(**options)
        return found

    def state_dict(self) -> dict[str, Any]:
        return self._tensors

    def load_state_dict(self, state: Any) -> None:
        raise NotImplementedError("adapters are loaded by peft")


def weights(model: Any) -> dict[str, Any]:
    """Parts of the model for Saver.save()."""
    if not is_peft(model):
        return {MODEL: model}
    found = Adapters(model).parts()
    return {**found, ADAPTER: Named(model, found[ADAPTER])}


def load_weights(model: Any, step: Step, tree: Mapping[str, Any]) -> None:
    """The model as it was; `tree` has everything that is not read in place."""
    if is_peft(model):
        Adapters(model).load(tree, step)
    else:
        step.read(**{MODEL: model})


# The rest --------------------------------------------------------------------


def load_optimizer(optimizer: Any, model: Any, saved: Mapping[str, Any], where: str) -> None:
    """By names; by numbers where a step has nothing else (imported ones)."""
    names: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), name)
    here = parameter_names(optimizer, names)
    there = [list(group["params"]) for group in saved["param_groups"]]
    if there and all(name.startswith("#") for row in there for name in row):
        here, names = _numbers(here), {}
    if [set(row) for row in here] != [set(row) for row in there]:
        flat_here = {name for row in here for name in row}
        flat_there = {name for row in there for name in row}
        raise mismatch(
            sorted(flat_here - flat_there),
            sorted(flat_there - flat_here),
            [] if flat_here != flat_there else ["optimizer: other groups of parameters"],
            where,
        )
    _check_shapes(optimizer, saved["state"], here, where)
    _load_optimizer(optimizer, numbered_state(optimizer, names, saved))


def _numbers(rows: list[list[str]]) -> list[list[str]]:
    count = iter(range(sum(len(row) for row in rows)))
    return [[f"#{next(count)}" for _ in row] for row in rows]


def _check_shapes(
    optimizer: Any, state: Mapping[str, Any], rows: list[list[str]], where: str
) -> None:
    different = []
    for row, group in zip(rows, optimizer.param_groups):
        for name, parameter in zip(row, group["params"]):
            for key in ("exp_avg", "exp_avg_sq", "momentum_buffer"):
                value = state.get(name, {}).get(key)
                if isinstance(value, torch.Tensor) and value.shape != parameter.shape:
                    different.append(
                        f"optimizer.state.{name}.{key}: the step has {list(value.shape)}, the "
                        f"parameter {list(parameter.shape)}"
                    )
    if different:
        raise mismatch([], [], different, where)


def random_states(world_size: int) -> Optional[list[Any]]:
    """Of each rank; None where there is one."""
    if world_size <= 1:
        return None
    states: list[Any] = [None] * world_size
    torch.distributed.all_gather_object(states, random_state())
    return states


def load_random_state(tree: Mapping[str, Any], rank: int) -> None:
    """This rank's own."""
    ranks = tree.get("ranks")
    if ranks and rank < len(ranks):
        set_random_state(ranks[rank])
    elif "rng" in tree and rank == 0:
        set_random_state(tree["rng"])


def scaler_of(trainer: Any) -> Any:
    """The gradient scaler, if training has one."""
    return getattr(trainer.accelerator, "scaler", None)


# Texts -----------------------------------------------------------------------


def state_text(state: Any) -> str:
    """trainer_state.json, as the Trainer writes it, without a folder that is none."""
    plain = {**dataclasses.asdict(state), "best_model_checkpoint": None}
    return json.dumps(plain, indent=2, sort_keys=True) + "\n"


def metadata_of(state: Any) -> dict[str, Any]:
    """What was logged at this step: `kilter log` and "@best:eval_loss" go by it."""
    found: dict[str, Any] = {}
    for row in state.log_history:
        if row.get("step") == state.global_step:
            found.update(row)
    if state.epoch is not None:
        found["epoch"] = state.epoch
    return {
        key: value
        for key, value in found.items()
        if isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
        and not key.endswith(_NOISE)
    }


def documents(trainer: Any) -> dict[str, bytes]:
    """Small files that make a step usable as it is: configuration, tokenizer, arguments."""
    found: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as folder, _quiet():
        if is_peft(trainer.model):
            found.update(Adapters(trainer.model).files())
            tokenizer = trainer.processing_class
            if tokenizer is not None:
                tokenizer.save_pretrained(folder)
        else:
            trainer._save(folder, state_dict={})
        found.update(_files_of(folder))
    found[ARGS_FILE] = (trainer.args.to_json_string() + "\n").encode()
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing is written that is worth a progress bar."""
    from transformers.utils import logging

    enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            logging.enable_progress_bar()


def _files_of(folder: str) -> dict[str, bytes]:
    found = {}
    for root, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(root, name)
            if name.endswith(_NOT_FILES) or os.path.getsize(path) > _FILE_BYTES_MAX:
                continue
            with open(path, "rb") as file:
                found[os.path.relpath(path, folder)] = file.read()
    return found
