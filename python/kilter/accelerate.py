"""Accelerate, saving to and resuming from a store.

::

    start = kilter.accelerate.load_state(accelerator, "runs.kilter")     # 0 if there is nothing
    ...
    kilter.accelerate.save_state(accelerator, "runs.kilter", step)       # and training goes on
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from typing import Any, Optional, Union

from accelerate import Accelerator
from accelerate.utils import DistributedType

from ._hf_parts import inner_optimizer, load_random_state, random_states
from ._into import mismatch
from ._steps import Step, has_steps, split_address, use_newest
from .checkpoint import Path
from .errors import UnsupportedError
from .resumable import Resumable
from .saver import Keep, Saver, Ticket

__all__ = ["Loader", "load_state", "resumable", "save_state"]

_SHARDED = ("FSDP", "DEEPSPEED", "MEGATRON_LM", "XLA")
_RANDOM = ("rng", "ranks")
_savers: weakref.WeakKeyDictionary[Any, dict[Any, Saver]] = weakref.WeakKeyDictionary()


def save_state(
    accelerator: Accelerator,
    store: Path,
    step: int,
    *,
    keep: Union[None, int, Keep, Mapping[str, Any]] = None,
    branch: str = "main",
    metadata: Optional[Mapping[str, Any]] = None,
    **options: Any,
) -> Optional[Ticket]:
    """Begins to save all that was prepared and registered, and returns; as Accelerator.save_state().

    Models, optimizers (parameters by name), schedulers, gradient scaler, samplers, random states of
    every process, and objects of ``register_for_checkpointing``. Call it in every process. The
    ticket (None in the others) waits until the step is durable; the end of the program waits too.
    ``metadata``: numbers such as the loss, by which "runs.kilter@best:loss" finds a step. ``keep``
    and ``options`` are those of :class:`kilter.Saver`.

    >>> import accelerate, torch, kilter.accelerate
    >>> accelerator = accelerate.Accelerator(cpu=True)
    >>> model = torch.nn.Linear(2, 1)
    >>> model, optimizer = accelerator.prepare(model, torch.optim.AdamW(model.parameters()))
    >>> kilter.accelerate.load_state(accelerator, "accelerate.kilter")
    0
    >>> accelerator.backward(model(torch.ones(1, 2)).sum())
    >>> optimizer.step()
    >>> kilter.accelerate.save_state(accelerator, "accelerate.kilter", 1).wait().step
    1
    >>> kilter.accelerate.load_state(accelerator, "accelerate.kilter")
    1
    """
    parts = _parts(accelerator)
    ranks = random_states(accelerator.num_processes)
    if not accelerator.is_main_process:
        return None
    saver = _saver(accelerator, os.fspath(store), keep, branch, options)
    if ranks:
        parts["ranks"] = ranks
    return saver.save(step, metadata=metadata, **parts, **_values(accelerator))


def load_state(accelerator: Accelerator, store: Path, *, branch: str = "main") -> int:
    """Puts the newest step that is intact back, and returns it; 0 if nothing was saved yet.

    ``store`` may be an address ("runs.kilter@step:300"). Everything is fitted by name: each
    difference is listed in one :class:`kilter.MismatchError`, before anything is changed. Call it
    after ``prepare()``, in every process.

    >>> import accelerate, torch, kilter.accelerate
    >>> accelerator = accelerate.Accelerator(cpu=True)
    >>> model = accelerator.prepare(torch.nn.Linear(2, 1))
    >>> kilter.accelerate.load_state(accelerator, "loading.kilter")
    0
    >>> for step in (1, 2):
    ...     ticket = kilter.accelerate.save_state(accelerator, "loading.kilter", step)
    >>> _ = ticket.wait()
    >>> kilter.accelerate.load_state(accelerator, "loading.kilter@step:1")
    1
    """
    parts = _parts(accelerator)
    base, ref = split_address(store)
    address = os.fspath(store) if ref else f"{base}@{branch}"
    if not ref and not has_steps(address):
        return 0

    def read(step: Step) -> int:
        values = step.tree(only=("accelerate", *_RANDOM))
        _check_custom(accelerator, step)
        step.read(**parts)
        state = values.get("accelerate", {})
        accelerator.step = state.get("step", accelerator.step)
        for loader, saved in zip(accelerator._dataloaders, state.get("samplers", [])):
            _set_sampler_state(loader, saved)
        load_random_state(values, accelerator.process_index)
        return step.step

    return use_newest(address, read) or 0


def resumable(accelerator: Accelerator, loader: Any) -> Loader:
    """A prepared DataLoader that goes on in the middle of an epoch, and is saved with the rest.

    >>> import accelerate, torch, kilter.accelerate
    >>> accelerator = accelerate.Accelerator(cpu=True)
    >>> loader = accelerator.prepare(torch.utils.data.DataLoader(list(range(6)), shuffle=True))
    >>> loader = kilter.accelerate.resumable(accelerator, loader)
    >>> for epoch in range(loader.epoch, 2):
    ...     for batch in loader:
    ...         pass
    >>> loader.epoch
    2
    """
    made = Loader(loader)
    accelerator.register_for_checkpointing(made)
    return made


class Loader(Resumable):
    """What :func:`resumable` makes: the DataLoader, and its place in the data.

    >>> Loader([1, 2]).batch
    0
    """

    def __getattr__(self, name: str) -> Any:
        if name == "loader":
            raise AttributeError(name)
        return getattr(self.loader, name)

    def _random_state(self) -> dict[str, Any]:
        return {**super()._random_state(), "sampler": _sampler_state(self.loader)}

    def _set_random_state(self, state: dict[str, Any]) -> None:
        super()._set_random_state(state)
        _set_sampler_state(self.loader, state["sampler"])

    def state_dict(self) -> dict[str, Any]:
        """Epoch, batch, the random state that this epoch began with, and the sampler's."""
        return {**super().state_dict(), "sampler": _sampler_state(self.loader)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The next iteration goes on where this state was taken."""
        super().load_state_dict(state)
        _set_sampler_state(self.loader, state["sampler"])


# The parts -------------------------------------------------------------------


def _parts(accelerator: Accelerator) -> dict[str, Any]:
    kind = accelerator.distributed_type
    if kind.value in _SHARDED and kind != DistributedType.NO:
        raise UnsupportedError(
            f"the model is sharded ({kind.value})",
            expected="a model that each process holds whole",
            hint="kilter.dcp saves sharded models",
        )
    if accelerator._save_model_state_pre_hook or accelerator._load_model_state_pre_hook:
        raise UnsupportedError(
            "hooks of register_save_state_pre_hook() write into a folder, and there is none",
            hint="register_for_checkpointing() saves objects",
        )
    found: dict[str, Any] = {}
    for i, model in enumerate(accelerator._models):
        found[_key("model", i)] = accelerator.unwrap_model(model)
    for i, optimizer in enumerate(accelerator._optimizers):
        found[_key("optimizer", i)] = inner_optimizer(optimizer)
    for i, scheduler in enumerate(accelerator._schedulers):
        found[_key("scheduler", i)] = scheduler
    for i, custom in enumerate(accelerator._custom_objects):
        found[_key("custom", i)] = custom
    found["scaler"] = accelerator.scaler
    return found


def _key(name: str, number: int) -> str:
    return f"{name}_{number}" if number else name


def _values(accelerator: Accelerator) -> dict[str, Any]:
    samplers = [_sampler_state(loader) for loader in accelerator._dataloaders]
    return {"accelerate": {"step": accelerator.step, "samplers": samplers}}


def _check_custom(accelerator: Accelerator, step: Step) -> None:
    count = len(accelerator._custom_objects)
    extra = [key for key in step.keys() if key == _key("custom", count)]
    if extra:
        raise mismatch(
            [], [f"{key} (an object of register_for_checkpointing)" for key in extra], [],
            step.address,
        )


def _sampler_of(loader: Any) -> Any:
    get = getattr(loader, "get_sampler", None)
    return get() if get is not None else getattr(loader, "sampler", None)


def _sampler_state(loader: Any) -> dict[str, Any]:
    """What shuffles: seed, epoch and generator."""
    sampler = _sampler_of(loader)
    generator = getattr(sampler, "generator", None)
    stateful = getattr(loader, "use_stateful_dataloader", False)
    return {
        "iteration": getattr(loader, "iteration", None),
        "seed": getattr(sampler, "initial_seed", None),
        "generator": None if generator is None else generator.get_state(),
        "stateful": loader.state_dict() if stateful else None,
    }


def _set_sampler_state(loader: Any, state: Mapping[str, Any]) -> None:
    sampler = _sampler_of(loader)
    if state["iteration"] is not None and hasattr(loader, "iteration"):
        loader.iteration = state["iteration"]
    if state["seed"] is not None and hasattr(sampler, "initial_seed"):
        sampler.initial_seed = state["seed"]
    generator = getattr(sampler, "generator", None)
    if generator is not None and state["generator"] is not None:
        generator.set_state(state["generator"])
    if state["stateful"] is not None and getattr(loader, "use_stateful_dataloader", False):
        loader.load_state_dict(state["stateful"])


def _saver(
    accelerator: Accelerator, store: str, keep: Any, branch: str, options: Mapping[str, Any]
) -> Saver:
    """One for each store, attached to what is prepared now."""
    optimizers = [inner_optimizer(one) for one in accelerator._optimizers]
    key = (store, branch, repr(keep), repr(sorted(options.items())), tuple(map(id, optimizers)))
    savers = _savers.setdefault(accelerator, {})
    if key not in savers:
        for old in [known for known in savers if known[:2] == key[:2]]:
            saver = savers.pop(old)
            saver.wait()
            saver.detach()
        savers[key] = Saver(store, keep=keep, branch=branch, **options)
        if optimizers:
            savers[key].attach(*optimizers)
    return savers[key]
