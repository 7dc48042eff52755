"""A checkpoint's tree with every tensor in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from ._handlers import Handlers

if TYPE_CHECKING:
    from .checkpoint import Checkpoint
    from .tensor import Tensor


def materialize(checkpoint: Checkpoint, framework: str) -> Any:
    """The state, or a dictionary of all tensors, with arrays of that framework."""

    def made(tensor: Tensor) -> Any:
        return tensor.torch() if framework == "torch" else tensor.numpy()

    native = checkpoint._native
    if not native.has_state:
        return {name: made(tensor) for name, tensor in checkpoint.items()}
    by_number: dict[int, Any] = {}

    def tensor(number: int) -> Any:
        if number not in by_number:
            by_number[number] = made(checkpoint._tensor(number))
        return by_number[number]

    make: Callable[[int], Any] = tensor
    return native.state(Handlers(make))
