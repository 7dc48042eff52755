"""A torch DataLoader that can be saved in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Optional

import torch

__all__ = ["Resumable"]


class Resumable:
    """Wraps a DataLoader: knows which batch of which epoch comes next, and goes on from there.

    What shuffles is the random state at the begin of an epoch; it is kept, so that the order is the
    same again. The batches before are fetched anew and dropped, so that workers come to the same
    random state too.

    >>> import torch
    >>> def loader():
    ...     torch.manual_seed(5)
    ...     return Resumable(torch.utils.data.DataLoader(list(range(6)), shuffle=True))
    >>> first = loader()
    >>> batches = iter(first)
    >>> seen = [int(next(batches)) for _ in range(2)]
    >>> state = first.state_dict()
    >>> rest = [int(batch) for batch in batches]
    >>> again = loader()
    >>> again.load_state_dict(state)
    >>> [int(batch) for batch in again] == rest
    True
    """

    def __init__(self, loader: Iterable[Any]) -> None:
        self.loader = loader
        #: Epochs that have ended.
        self.epoch = 0
        #: Batches of this epoch that were handed out.
        self.batch = 0
        self._begin: Optional[dict[str, Any]] = None
        self._resumed = False

    def __len__(self) -> int:
        return len(self.loader)  # type: ignore[arg-type]

    def _generator(self) -> Optional[torch.Generator]:
        return getattr(self.loader, "generator", None)

    def _random_state(self) -> dict[str, Any]:
        generator = self._generator()
        return {
            "torch": torch.get_rng_state(),
            "generator": None if generator is None else generator.get_state(),
        }

    def _set_random_state(self, state: dict[str, Any]) -> None:
        torch.set_rng_state(state["torch"])
        generator = self._generator()
        if generator is not None and state["generator"] is not None:
            generator.set_state(state["generator"])

    def _begun(self) -> Iterator[Any]:
        """This epoch's, at the batch that comes next."""
        if not self._resumed or self._begin is None:
            self._begin = self._random_state()
            self.batch = 0
            return iter(self.loader)
        self._resumed = False
        now = self._random_state()
        self._set_random_state(self._begin)
        iterator = iter(self.loader)
        for _ in range(self.batch):
            next(iterator)
        self._set_random_state(now)
        return iterator

    def __iter__(self) -> Iterator[Any]:
        sampler = getattr(self.loader, "sampler", None)
        if sampler is not None and hasattr(sampler, "set_epoch"):
            sampler.set_epoch(self.epoch)
        for batch in self._begun():
            self.batch += 1
            yield batch
        self.epoch += 1
        self.batch = 0
        self._begin = None

    def state_dict(self) -> dict[str, Any]:
        """Epoch, batch, and the random state that this epoch began with."""
        return {
            "epoch": self.epoch,
            "batch": self.batch,
            "begin": self._begin,
            "random": self._random_state()["generator"],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The next iteration goes on where this state was taken."""
        self.epoch = int(state["epoch"])
        self.batch = int(state["batch"])
        self._begin = state["begin"]
        self._resumed = self._begin is not None
        generator = self._generator()
        if generator is not None and state["random"] is not None:
            generator.set_state(state["random"])
