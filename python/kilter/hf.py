"""Hugging Face's Trainer, saving to and resuming from a store.

::

    trainer = Trainer(model, args, train_dataset=data, callbacks=[kilter.hf.Checkpoints("runs.kilter")])
    trainer.train()

saves at the Trainer's own moments (``save_steps``, ``save_strategy``) without stopping training, and
goes on from the newest step when the program is started again.

:func:`export_checkpoint` and :func:`import_checkpoint` translate from and to ``checkpoint-N`` folders.
"""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Optional, Union

import torch
import transformers
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState
from transformers.trainer_utils import get_last_checkpoint
from transformers.utils import logging

from . import _hf_parts as parts_of
from ._hf_folders import export_checkpoint, import_checkpoint
from ._steps import Step, finish, has_steps, infos, is_store, split_address, use_newest
from .checkpoint import Path
from .errors import KilterError, UnsupportedError
from .saver import Keep, Saver, _keep
from .store import Store

__all__ = ["Checkpoints", "export_checkpoint", "import_checkpoint"]

logger = logging.get_logger("transformers.kilter")
Resume = Union[None, bool, str]


class Checkpoints(TrainerCallback):
    """Makes a Trainer save to a store and resume from it.

    Each step holds the model (of a PEFT model the adapters alone), optimizer (parameters by name),
    scheduler, gradient scaler, random states, trainer_state.json, training_args.json, and beside
    the weights what ``from_pretrained`` needs. What was logged at the step is its metadata, so that
    "runs.kilter@best:eval_loss" is an address. The Trainer writes no checkpoint-N folders.

    ``train()`` goes on from the newest step that is intact, or begins if there is none;
    ``resume_from_checkpoint`` may be an address ("runs.kilter@step:300"), a folder, True, or False
    to begin anew. With ``resume=False`` only what ``resume_from_checkpoint`` says is resumed.

    ``keep`` says which steps stay (as for :class:`kilter.Saver`); without it ``save_total_limit``
    newest ones do, and with ``load_best_model_at_end`` the best. ``preempt_seconds``: after SIGTERM
    the step that is running is saved within so many seconds, then training ends. Everything else
    goes to :class:`kilter.Saver`.

    >>> import torch, transformers, kilter.hf
    >>> config = transformers.GPT2Config(
    ...     n_layer=1, n_head=1, n_embd=8, vocab_size=16, n_positions=8, bos_token_id=0, eos_token_id=1)
    >>> rows = [{"input_ids": torch.arange(8), "labels": torch.arange(8)}] * 8
    >>> def train(**changes):
    ...     arguments = transformers.TrainingArguments(
    ...         "out", max_steps=4, save_steps=2, use_cpu=True, report_to=[], disable_tqdm=True)
    ...     trainer = transformers.Trainer(
    ...         transformers.GPT2LMHeadModel(config), arguments, train_dataset=rows,
    ...         callbacks=[kilter.hf.Checkpoints("trainer.kilter")])
    ...     _ = trainer.pop_callback(transformers.PrinterCallback)
    ...     return trainer.train(**changes).global_step
    >>> train(), train(resume_from_checkpoint="trainer.kilter@step:2")
    (4, 4)
    >>> _ = kilter.Store("trainer.kilter").restore("step:2", "restored")
    >>> type(transformers.GPT2LMHeadModel.from_pretrained("restored")).__name__
    'GPT2LMHeadModel'
    """

    def __init__(
        self,
        store: Path,
        *,
        keep: Union[None, int, Keep, Mapping[str, Any]] = None,
        resume: bool = True,
        branch: str = "main",
        preempt_seconds: Optional[float] = None,
        **options: Any,
    ) -> None:
        _install()
        self._address = os.fspath(store)
        self._keep = keep
        self._resume = resume
        self._branch = branch
        self._preempt_seconds = preempt_seconds
        self._options = options
        self._begun = False
        self._run: Optional[_Run] = None

    def __repr__(self) -> str:
        return f"kilter.hf.Checkpoints({self._address!r})"

    @property
    def _tip(self) -> str:
        return f"{self._address}@{self._branch}"

    # Resuming ----------------------------------------------------------------

    def _train(
        self,
        trainer: Any,
        original: Callable[..., Any],
        resume_from_checkpoint: Resume = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        _refuse_sharded(trainer)
        trial = args[0] if args else kwargs.get("trial")
        where = self._where(trainer, resume_from_checkpoint, trial is not None)
        self._begun = True
        if where is None or not is_store(where):
            where, kept = None, where
        with self._running(trainer, where) as folder:
            return original(trainer, folder if where else kept, *args, **kwargs)

    def _where(self, trainer: Any, wanted: Resume, in_search: bool) -> Optional[str]:
        """An address in a store, a folder, or None for the beginning."""
        if wanted is False:
            return None
        if isinstance(wanted, str):
            own = _same_place(split_address(wanted)[0], self._address)
            if own and not split_address(wanted)[1]:
                return self._tip if has_steps(self._tip) else None
            return wanted
        if wanted is None and (self._begun or in_search or not self._resume):
            return None
        if has_steps(self._tip):
            return self._tip
        return get_last_checkpoint(trainer.args.output_dir) if wanted and _has_folder(trainer) else None

    @contextmanager
    def _running(self, trainer: Any, address: Optional[str]) -> Iterator[str]:
        folder = tempfile.mkdtemp(prefix="kilter-")
        self._run = run = _Run(trainer, address, folder)
        try:
            yield folder
        except BaseException:
            _finish_quietly(run.saver)
            raise
        else:
            finish(run.saver)
        finally:
            self._run = None
            shutil.rmtree(folder, ignore_errors=True)

    def _resumes(self, folder: Any) -> bool:
        return self._run is not None and self._run.folder == folder

    def _load_from_checkpoint(
        self,
        trainer: Any,
        original: Callable[..., Any],
        resume_from_checkpoint: str,
        model: Any = None,
    ) -> None:
        if not self._resumes(resume_from_checkpoint):
            original(trainer, resume_from_checkpoint, model)
            return
        run, address = self._run, self._run.address if self._run else None
        assert run is not None and address is not None
        live = trainer.model if model is None else model

        def read(step: Step) -> None:
            skip = () if parts_of.is_peft(live) else (parts_of.MODEL,)
            tree = step.tree(skip=skip)
            text = step.file(parts_of.STATE_FILE)
            if text is None:
                raise UnsupportedError(
                    "this step is not of a Trainer",
                    path=step.address,
                    expected=parts_of.STATE_FILE,
                    hint="kilter.torch.load_into(model, address) takes its weights alone",
                )
            parts_of.load_weights(live, step, tree)
            with open(os.path.join(run.folder, parts_of.STATE_FILE), "wb") as file:
                file.write(text)
            run.tree, run.where = tree, step.address
            logger.info(f"Kilter resumes step {step.step} ({step.address})")

        use_newest(address, read)

    def _load_optimizer_and_scheduler(
        self, trainer: Any, original: Callable[..., Any], checkpoint: Optional[str]
    ) -> None:
        if not self._resumes(checkpoint):
            original(trainer, checkpoint)
            return
        assert self._run is not None
        tree = self._run.tree
        if "optimizer" not in tree or "scheduler" not in tree:
            logger.warning(f"{self._run.where} has the model alone: optimizer and schedule begin anew")
            return
        optimizer = parts_of.inner_optimizer(trainer.optimizer)
        parts_of.load_optimizer(optimizer, trainer.model, tree["optimizer"], self._run.where)
        trainer.lr_scheduler.load_state_dict(tree["scheduler"])

    def _load_scaler(
        self, trainer: Any, original: Callable[..., Any], checkpoint: Optional[str]
    ) -> None:
        if not self._resumes(checkpoint):
            original(trainer, checkpoint)
            return
        assert self._run is not None
        scaler = parts_of.scaler_of(trainer)
        if scaler is not None and "scaler" in self._run.tree:
            scaler.load_state_dict(self._run.tree["scaler"])

    def _load_rng_state(
        self, trainer: Any, original: Callable[..., Any], checkpoint: Optional[str]
    ) -> None:
        if not self._resumes(checkpoint):
            original(trainer, checkpoint)
            return
        assert self._run is not None
        parts_of.load_random_state(self._run.tree, trainer.args.process_index)

    def _run_epoch(self, trainer: Any, original: Callable[..., Any], **kwargs: Any) -> None:
        """A run that had ended has ended: the Trainer would go a step beyond before it looks."""
        if self._run is not None and trainer.state.global_step >= trainer.state.max_steps:
            trainer.control.should_training_stop = True
            return
        original(trainer, **kwargs)

    # Saving ------------------------------------------------------------------

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Opens the store and attaches to the optimizer."""
        run = self._run
        if run is None:
            return
        trainer = run.trainer()
        run.restore_loss(trainer)
        if self._preempt_seconds is not None and args.world_size > 1:
            raise UnsupportedError(
                "several processes do not see SIGTERM at the same step",
                hint="leave preempt_seconds out, and save more often",
            )
        if not args.should_save:
            return
        run.documents = parts_of.documents(trainer)
        run.saver = Saver(
            self._address, keep=self._rules(args), branch=self._branch, **self._options
        )
        run.saver.attach(parts_of.inner_optimizer(trainer.optimizer))
        if self._preempt_seconds is not None:
            run.saver.watch_preemption()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Ends training after SIGTERM, with a last save."""
        run = self._run
        if run is None or run.saver is None:
            return None
        if not run.prepared:
            run.prepared = True
            run.tree = {}
            run.saver.prepare(**self._parts(run.trainer()))
        if self._preempt_seconds is not None and run.saver.preempted:
            control.should_save = control.should_training_stop = True
            return control
        return None

    def _rules(self, args: Any) -> Keep:
        rules = Keep(last=args.save_total_limit) if self._keep is None else _keep(self._keep)
        best = _metric(args)
        if best and rules != Keep():
            given = [rules.best] if isinstance(rules.best, str) else list(rules.best)
            rules = Keep(rules.last, rules.every, [*given, best], rules.tagged)
        return rules

    def _parts(self, trainer: Any) -> dict[str, Any]:
        found = parts_of.weights(trainer.model)
        if not trainer.args.save_only_model:
            found["optimizer"] = parts_of.inner_optimizer(trainer.optimizer)
            found["scheduler"] = trainer.lr_scheduler
            found["scaler"] = parts_of.scaler_of(trainer)
            found["loss_so_far"] = _loss_so_far(trainer)
        return found

    def _save_checkpoint(
        self, trainer: Any, original: Callable[..., Any], model: Any, trial: Any = None
    ) -> None:
        run = self._run
        if run is None:  # called outside train()
            original(trainer, model, trial)
            return
        if trainer.hp_search_backend is None and trial is None:
            trainer.store_flos()
        ranks = parts_of.random_states(trainer.args.world_size)
        if run.saver is None:
            return
        _note_callbacks(trainer)
        saved = {**self._parts(trainer), **({"ranks": ranks} if ranks else {})}
        step, state = trainer.state.global_step, trainer.state
        files = {**run.documents, parts_of.STATE_FILE: parts_of.state_text(state)}
        stated = {
            "metadata": parts_of.metadata_of(state),
            "files": files,
        }
        if self._preempt_seconds is not None and run.saver.preempted:
            run.saver.on_preempt(step, self._preempt_seconds, **stated, **saved)
        else:
            run.saver.save(step, **stated, **saved)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Everything is durable; the best model is loaded, if that is wished."""
        run = self._run
        if run is None:
            return
        if run.saver is not None:
            run.saver.wait()
        if args.world_size > 1:
            torch.distributed.barrier()
        if not state.best_global_step:
            return
        best = self._best(state.best_global_step)
        if best is None:
            return
        state.best_model_checkpoint = best.address
        if args.load_best_model_at_end:
            trainer = run.trainer()
            tree = best.tree() if parts_of.is_peft(trainer.model) else {}
            parts_of.load_weights(trainer.model, best, tree)
            logger.info(f"Kilter loads the best model from {best.address}")

    def _best(self, number: int) -> Optional[Step]:
        if not has_steps(self._tip):
            return None
        store = Store(self._address, mode="open")
        for info in infos(self._tip):
            if info.step == number:
                return Step(store, info)
        logger.warning(f"The best step {number} is not in {self._tip}: nothing is loaded")
        return None


class _Run:
    """One call of train()."""

    def __init__(self, trainer: Any, address: Optional[str], folder: str) -> None:
        self._trainer = weakref.ref(trainer)
        self.address = address
        self.folder = folder
        #: Of the step that is resumed; "" and {} where training begins.
        self.where = ""
        self.tree: dict[str, Any] = {}
        self.saver: Optional[Saver] = None
        self.documents: dict[str, bytes] = {}
        self.prepared = False

    def trainer(self) -> Any:
        return self._trainer()

    def restore_loss(self, trainer: Any) -> None:
        """What was summed up since the last log; the Trainer itself forgets it. The sum over this
        call does not count it."""
        saved = self.tree.get("loss_so_far")
        if not saved or not hasattr(trainer, "_tr_loss"):
            return
        trainer._tr_loss = trainer._tr_loss + saved["sum"]
        trainer._total_loss_scalar = -float(saved["sum"])
        trainer._globalstep_last_logged = saved["last_logged"]


def _loss_so_far(trainer: Any) -> Optional[dict[str, Any]]:
    if not hasattr(trainer, "_tr_loss"):
        return None
    return {"sum": trainer._tr_loss.item(), "last_logged": trainer._globalstep_last_logged}


def _note_callbacks(trainer: Any) -> None:
    """As Trainer._save_checkpoint() does: callbacks that have a state put it into the Trainer's."""
    stored = trainer.state.stateful_callbacks
    for callback in [*trainer.callback_handler.callbacks, trainer.control]:
        if isinstance(callback, ExportableState):
            name = type(callback).__name__
            if isinstance(stored.get(name), list):
                stored[name].append(callback.state())
            else:
                stored[name] = callback.state()


def _metric(args: Any) -> str:
    """The rule that keeps the best step for the end of training."""
    name = args.metric_for_best_model
    if not args.load_best_model_at_end or not name:
        return ""
    name = name if name.startswith("eval_") else f"eval_{name}"
    return f"-{name}" if args.greater_is_better else name


def _same_place(one: str, other: str) -> bool:
    return one == other or os.path.abspath(one) == os.path.abspath(other)


def _has_folder(trainer: Any) -> bool:
    return os.path.isdir(trainer.args.output_dir)


def _finish_quietly(saver: Optional[Saver]) -> None:
    """Where training failed, its own error is the one to show."""
    try:
        finish(saver)
    except KilterError as error:
        logger.warning(f"The last save failed too: {error}")


def _refuse_sharded(trainer: Any) -> None:
    for flag, what in (("is_fsdp_enabled", "FSDP"), ("is_deepspeed_enabled", "DeepSpeed")):
        if getattr(trainer, flag, False):
            raise UnsupportedError(
                f"this Trainer shards the model with {what}",
                expected="a model that each process holds whole",
                hint="kilter.dcp saves sharded models; kilter save takes the Trainer's folders",
            )


# The Trainer -----------------------------------------------------------------

_METHODS: dict[str, Callable[..., Any]] = {
    "train": Checkpoints._train,
    "_save_checkpoint": Checkpoints._save_checkpoint,
    "_load_from_checkpoint": Checkpoints._load_from_checkpoint,
    "_load_optimizer_and_scheduler": Checkpoints._load_optimizer_and_scheduler,
    "_load_scaler": Checkpoints._load_scaler,
    "_load_rng_state": Checkpoints._load_rng_state,
    "_run_epoch": Checkpoints._run_epoch,
}


def _install() -> None:
    """A Trainer tells its callbacks when it has saved, but lets none of them save or resume in its
    place. So these methods of the class, once somebody makes a Checkpoints, look for one among the
    callbacks, and do what they always did where there is none. Subclasses that override them and
    call super() work as before."""
    for name, ours in _METHODS.items():
        original = getattr(transformers.Trainer, name, None)
        if original is not None and not hasattr(original, "_kilter_original"):
            setattr(transformers.Trainer, name, _asking(original, ours))


def _asking(original: Callable[..., Any], ours: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def method(trainer: Any, *args: Any, **kwargs: Any) -> Any:
        for callback in trainer.callback_handler.callbacks:
            if isinstance(callback, Checkpoints):
                return ours(callback, trainer, original, *args, **kwargs)
        return original(trainer, *args, **kwargs)

    method._kilter_original = original  # type: ignore[attr-defined]
    return method
