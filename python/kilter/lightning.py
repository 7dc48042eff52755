"""Lightning, saving to and resuming from a store.

::

    trainer = Trainer(callbacks=[kilter.lightning.Checkpoints("runs.kilter", every=100)])
    trainer.fit(model)

saves every 100 steps without stopping training, and goes on from the newest step, in the middle of
an epoch too, when the program is started again. :class:`CheckpointIO` is the plugin that keeps what
ModelCheckpoint saves in a store.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from typing import Any, Optional, Union

import torch
from lightning.fabric.utilities.cloud_io import get_filesystem
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import CheckpointIO as _CheckpointIO
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy

from . import torch as kilter_torch
from ._hf_parts import load_optimizer, load_random_state, random_states
from ._steps import Step, finish, has_steps, infos, is_store, numbered, use_newest
from ._train_state import named_state
from .checkpoint import Path
from .errors import ArgumentError, KilterError, NotFoundError, UnsupportedError
from .resumable import Resumable
from .saver import Keep, Saver
from .store import Store

__all__ = ["CheckpointIO", "Checkpoints"]

_MODEL, _REST = "model", "lightning"
_OPTIMIZERS = "optimizers"
_POINTER_BYTES_MAX = 4096


def _parts(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Lightning's dictionary as parts of a step."""
    rest = {key: value for key, value in checkpoint.items() if key != "state_dict"}
    return {_MODEL: dict(checkpoint["state_dict"]), _REST: rest}


def _checkpoint(step: Step) -> dict[str, Any]:
    """The way back."""
    tree = step.tree()
    if _REST not in tree:
        raise UnsupportedError("this step is not of Lightning", path=step.address, expected=_REST)
    made: dict[str, Any] = {**tree[_REST], "state_dict": tree[_MODEL]}
    if _OPTIMIZERS in tree:
        names = [tree[_OPTIMIZERS][key] for key in sorted(tree[_OPTIMIZERS], key=int)]
        made["optimizer_states"] = [numbered(one) for one in names]
        made["kilter"] = {
            "optimizers": names,
            "random": {key: tree[key] for key in ("rng", "ranks") if key in tree},
            "where": step.address,
        }
    return made


def _load(address: str) -> dict[str, Any]:
    found = use_newest(address, _checkpoint)
    if found is None:
        raise NotFoundError("nothing was saved in it yet", path=address)
    return found


class CheckpointIO(_CheckpointIO):
    """Keeps checkpoints in a store; a path names a step.

    What Lightning takes for a file, ``lightning_logs/…/epoch=0-step=10.ckpt``, becomes a few bytes
    that lead to a commit, so that "best", "last" and ``ckpt_path`` work as ever; equal tensors of
    several checkpoints are stored once. A path to load may also be an address
    ("runs.kilter@step:10") or an ordinary checkpoint file, which is read without executing
    anything. Returns once a checkpoint is durable: :class:`Checkpoints` saves while training goes
    on.

    >>> import torch, lightning, kilter.lightning
    >>> io = kilter.lightning.CheckpointIO("plugin.kilter")
    >>> trainer = lightning.Trainer(plugins=[io], logger=False, enable_progress_bar=False)
    >>> io.save_checkpoint({"state_dict": {"w": torch.ones(2)}, "global_step": 3}, "some.ckpt")
    >>> io.load_checkpoint("some.ckpt")["state_dict"]
    {'w': tensor([1., 1.])}
    >>> io.load_checkpoint("plugin.kilter@step:3")["global_step"]
    3
    """

    def __init__(self, store: Path, *, branch: str = "main", **options: Any) -> None:
        self._address = os.fspath(store)
        self._branch = branch
        self._options = options
        self._saver: Optional[Saver] = None
        self._stale: list[str] = []

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Path, storage_options: Optional[Any] = None
    ) -> None:
        """Durable when it returns; the path leads to it only then."""
        if storage_options is not None:
            raise TypeError("storage_options are not supported")
        if self._saver is None:
            self._saver = Saver(self._address, branch=self._branch, rng=False, **self._options)
        step = int(checkpoint.get("global_step", 0))
        metadata = {"name": os.path.basename(os.fspath(path))}
        if isinstance(checkpoint.get("epoch"), int):
            metadata["epoch"] = checkpoint["epoch"]
        report = self._saver.save(step, metadata=metadata, **_parts(checkpoint)).wait()
        replaced = _read_pointer(os.fspath(path)) if get_filesystem(path).exists(path) else None
        _write_pointer(os.fspath(path), {"kilter": self._address, "commit": report.commit})
        self._give_up(replaced)

    def load_checkpoint(
        self,
        path: Path,
        map_location: Optional[Any] = None,
        weights_only: Optional[bool] = None,
    ) -> dict[str, Any]:
        """By path or address. Tensors are on the CPU, or where ``map_location`` names a device."""
        name = os.fspath(path)
        if is_store(name):
            made = _load(name)
        else:
            pointer = _read_pointer(name)
            if pointer is None:
                return dict(kilter_torch.load(name, map_location=map_location or "cpu"))
            own = is_store(self._address) and self._holds(pointer["commit"])
            made = _load(f"{self._address if own else pointer['kilter']}@{pointer['commit']}")
        if isinstance(map_location, (str, torch.device)):
            made["state_dict"] = {k: v.to(map_location) for k, v in made["state_dict"].items()}
        return made

    def _holds(self, commit: str) -> bool:
        try:
            Store(self._address, mode="open").find(commit)
        except NotFoundError:
            return False
        return True

    def remove_checkpoint(self, path: Path) -> None:
        """The path first, then the data that no other checkpoint has."""
        if not get_filesystem(path).exists(path):
            return
        pointer = _read_pointer(os.fspath(path))
        if pointer is None:
            return
        get_filesystem(path).rm(os.fspath(path))
        self._give_up(pointer)

    def _give_up(self, pointer: Optional[Mapping[str, str]]) -> None:
        """A branch's newest commit has to stay; it goes with the next that does."""
        if pointer is not None:
            self._stale.append(pointer["commit"])
        if not self._stale:
            return
        store, left = Store(self._address, mode="open"), []
        for commit in self._stale:
            try:
                store.remove(commit)
            except ArgumentError:
                left.append(commit)
            except NotFoundError:  # of another store, or gone already
                continue
        if len(left) < len(self._stale):
            store.collect()
        self._stale = left

    def teardown(self) -> None:
        """Everything is durable already."""
        self._saver = None


def _write_pointer(path: str, pointer: dict[str, str]) -> None:
    files = get_filesystem(path)
    files.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    text = json.dumps(pointer)
    if "://" in path:
        with files.open(path, "w") as file:
            file.write(text)
        return
    partial = f"{path}.{os.getpid()}"
    with open(partial, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def _read_pointer(path: str) -> Optional[dict[str, str]]:
    """What a path leads to; None where it is no such file."""
    files = get_filesystem(path)
    if not files.isfile(path) or files.size(path) > _POINTER_BYTES_MAX:
        if not files.exists(path):
            raise NotFoundError("there is no checkpoint here", path=path)
        return None
    with files.open(path, "rb") as file:
        try:
            found = json.loads(file.read())
        except ValueError:
            return None
    good = isinstance(found, dict) and all(isinstance(found.get(k), str) for k in ("kilter", "commit"))
    return found if good else None


class Checkpoints(Checkpoint):
    """Saves to a store every so many steps while training goes on, and resumes exactly.

    Each step holds what a Lightning checkpoint does (weights, optimizers with parameters by name,
    schedules, precision, loops, callbacks, hyper-parameters), the random states, and the place in
    the training data: DataLoaders that cannot be resumed are wrapped in
    :class:`kilter.torch.Resumable`. Where validation follows a step that is due, or the epoch ends,
    it is saved after that. Logged metrics are its metadata ("runs.kilter@best:val_loss").

    ``fit()`` goes on from the newest step that is intact, or begins if there is none;
    ``ckpt_path`` may be an address ("runs.kilter@step:300") or a file. ``resume=False`` does what
    ``ckpt_path`` says alone. ``monitor`` ("val_loss", "-val_accuracy") names what
    ``ckpt_path="best"`` goes by. ``keep`` and everything else: :class:`kilter.Saver`.

    >>> import torch, lightning, kilter.lightning
    >>> class Line(lightning.LightningModule):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.line = torch.nn.Linear(2, 1)
    ...     def training_step(self, batch, batch_idx):
    ...         return self.line(batch).square().mean()
    ...     def configure_optimizers(self):
    ...         return torch.optim.SGD(self.parameters(), 0.1)
    >>> def fit(epochs):
    ...     data = torch.utils.data.DataLoader(torch.ones(8, 2), 2)
    ...     trainer = lightning.Trainer(
    ...         max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False,
    ...         enable_model_summary=False,
    ...         callbacks=[kilter.lightning.Checkpoints("lightning.kilter", every=2)])
    ...     trainer.fit(Line(), data)
    ...     return trainer.global_step
    >>> fit(1), fit(2)
    (4, 8)
    >>> [info.step for info in kilter.Store("lightning.kilter").log("main")]
    [8, 6, 4, 2]
    """

    def __init__(
        self,
        store: Path,
        *,
        every: int = 100,
        keep: Union[None, int, Keep, Mapping[str, Any]] = None,
        resume: bool = True,
        monitor: str = "",
        branch: str = "main",
        **options: Any,
    ) -> None:
        super().__init__()
        self._address = os.fspath(store)
        self._every = max(1, every)
        self._keep = keep
        self._resume = resume
        self._monitor = monitor
        self._branch = branch
        self._options = options
        self._saver: Optional[Saver] = None
        self._saved = -1
        self._due = False
        self._begun = False
        self._prepared = False
        self._loaded: dict[str, Any] = {}

    @property
    def _tip(self) -> str:
        return f"{self._address}@{self._branch}"

    @property
    def best_model_path(self) -> str:
        """For ``ckpt_path="best"``: by ``monitor``, else the newest."""
        if not has_steps(self._tip):
            return ""
        if not self._monitor:
            return f"{self._address}@{next(iter(infos(self._tip))).digest}"
        return f"{self._address}@best:{self._monitor}"

    # Resuming ----------------------------------------------------------------

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Lets the Trainer read addresses, and go on by itself."""
        io = trainer.strategy.checkpoint_io
        if not isinstance(io, (CheckpointIO, _Either)):
            trainer.strategy.checkpoint_io = _Either(io)
        if stage != "fit":
            return
        if not isinstance(trainer.strategy, (SingleDeviceStrategy, DDPStrategy)):
            raise UnsupportedError(
                f"{type(trainer.strategy).__name__} shards the model",
                expected="a model that each process holds whole",
                hint="kilter.dcp saves sharded models",
            )
        self._ask_connector(trainer)
        _wrap_loaders(trainer.fit_loop)

    def _ask_connector(self, trainer: Any) -> None:
        """The Trainer has no hook before it resumes, and gives optimizer state back by number: these
        two methods of its connector, in this instance, ask here first."""
        connector = trainer._checkpoint_connector
        begins, restores = type(connector).resume_start, type(connector).restore_optimizers

        def resume_start(checkpoint_path: Any = None, *args: Any, **kwargs: Any) -> None:
            fresh = trainer.state.fn == "fit" and not self._begun and self._resume
            if checkpoint_path is None and fresh and has_steps(self._tip):
                checkpoint_path = self._tip
            self._begun = True
            begins(connector, checkpoint_path, *args, **kwargs)
            self._loaded = connector._loaded_checkpoint.pop("kilter", {})

        def restore_optimizers() -> None:
            if not self._loaded:
                restores(connector)
                return
            for optimizer, saved in zip(trainer.optimizers, self._loaded["optimizers"]):
                load_optimizer(
                    optimizer, trainer.lightning_module, saved, self._loaded["where"]
                )

        connector.resume_start = resume_start
        connector.restore_optimizers = restore_optimizers

    # Saving ------------------------------------------------------------------

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Attaches to the optimizers; the random states are as they were."""
        self._saved, self._due = trainer.global_step if self._loaded else -1, False
        if self._loaded:
            load_random_state(self._loaded["random"], trainer.global_rank)
            self._loaded = {}
        if trainer.is_global_zero:
            self._saver = Saver(
                self._address, keep=self._keep, branch=self._branch, **self._options
            )
            self._saver.attach(*trainer.optimizers)
            self._prepared = False

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves, if this step is due and nothing else belongs to it."""
        step = trainer.global_step
        if self._saver is not None and not self._prepared and step > 0:
            self._prepared = True
            self._saver.prepare(**self._state(trainer))
        if step == self._saved or step == 0 or step % self._every != 0:
            return
        loop = trainer.fit_loop
        if trainer.is_last_batch or loop.epoch_loop._should_check_val_fx(loop._data_fetcher):
            self._due = True
        else:
            self._save(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Saves what was put off, in the middle of an epoch."""
        if self._due and not trainer.sanity_checking and not trainer.is_last_batch:
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Saves what was put off, at its end."""
        if self._due:
            self._save(trainer)

    def _state(self, trainer: Any) -> dict[str, Any]:
        checkpoint = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
        checkpoint.pop("optimizer_states", None)
        names: dict[int, str] = {}
        for name, parameter in trainer.lightning_module.named_parameters(remove_duplicate=False):
            names.setdefault(id(parameter), name)
        optimizers = {
            str(i): named_state(optimizer, names) for i, optimizer in enumerate(trainer.optimizers)
        }
        return {**_parts(checkpoint), _OPTIMIZERS: optimizers}

    def _save(self, trainer: Any) -> None:
        self._due, self._saved = False, trainer.global_step
        ranks = random_states(trainer.world_size)
        state = self._state(trainer)  # other ranks may have to take part
        if ranks:
            state["ranks"] = ranks
        if self._saver is not None:
            self._saver.save(trainer.global_step, metadata=_metadata(trainer), **state)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Everything is durable."""
        saver, self._saver = self._saver, None
        finish(saver)
        trainer.strategy.barrier("kilter")

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """What was begun is finished; the error of training is the one to show."""
        saver, self._saver = self._saver, None
        try:
            finish(saver)
        except KilterError as error:
            exception.add_note(f"the last save failed too: {error}") if hasattr(
                exception, "add_note"
            ) else None


def _metadata(trainer: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"epoch": trainer.current_epoch}
    for name, value in trainer.callback_metrics.items():
        number = float(value)
        if math.isfinite(number) and name not in ("step", "epoch"):
            found[name] = number
    return found


class _Either(_CheckpointIO):
    """Reads addresses; leaves files to the plugin that was there."""

    def __init__(self, files: _CheckpointIO) -> None:
        self._files = files

    def save_checkpoint(self, checkpoint: Any, path: Any, storage_options: Any = None) -> None:
        self._files.save_checkpoint(checkpoint, path, storage_options)

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        if is_store(path):
            return _load(os.fspath(path))
        found: dict[str, Any] = self._files.load_checkpoint(path, *args, **kwargs)
        return found

    def remove_checkpoint(self, path: Any) -> None:
        self._files.remove_checkpoint(path)

    def teardown(self) -> None:
        self._files.teardown()


# The training data -----------------------------------------------------------


class _Loader(Resumable):
    """A DataLoader that resumes, and is the DataLoader for who looks at it."""

    def __getattr__(self, name: str) -> Any:
        if name == "loader":
            raise AttributeError(name)
        return getattr(self.loader, name)

    @property
    def _iterator(self) -> Any:
        """Lightning ends the loader's workers through it."""
        return getattr(self.loader, "_iterator", None)

    @_iterator.setter
    def _iterator(self, value: Any) -> None:
        self.loader._iterator = value  # type: ignore[attr-defined]


def _wrap_loaders(loop: Any) -> None:
    """Right after the Trainer has made its loaders (with a sampler for each rank), and before their
    states are loaded, it calls this method of the loop."""
    if not hasattr(loop, "_load_combined_loader_states"):
        return
    loads: Callable[..., None] = type(loop)._load_combined_loader_states

    def load_states() -> None:
        combined = loop._combined_loader
        combined.flattened = [
            one if hasattr(one, "state_dict") or not hasattr(one, "sampler") else _Loader(one)
            for one in combined.flattened
        ]
        loads(loop)

    loop._load_combined_loader_states = load_states
