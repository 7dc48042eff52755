"""What torch, numpy and safetensors say about tensors: name -> (shape, SHA-256 of the bytes)."""

import hashlib
import pickle

import numpy as np
import torch


def tensor_bytes(tensor):
    """Contiguous, little-endian bytes of a torch tensor of any dtype."""
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    if tensor.is_quantized:
        tensor = tensor.int_repr()
    if tensor.numel() == 0:
        return b""
    return tensor.reshape(-1).view(torch.uint8).numpy().tobytes()


def digest(data):
    return hashlib.sha256(data).hexdigest()


def describe(tensor):
    if isinstance(tensor, np.ndarray):
        return list(tensor.shape), digest(np.ascontiguousarray(tensor).tobytes())
    return list(tensor.shape), digest(tensor_bytes(tensor))


def walk(value, path="", seen=()):
    """Every tensor or array below `value` by its path of keys and positions."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        yield path, value
        return
    if id(value) in seen:
        return
    below = path + "." if path else ""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from walk(item, f"{below}{key}", (*seen, id(value)))
    elif isinstance(value, (list, tuple)):
        for position, item in enumerate(value):
            yield from walk(item, f"{below}{position}", (*seen, id(value)))


def described(value):
    return {path: describe(tensor) for path, tensor in walk(value)}


class Inert(dict):
    """Stands for any class a test file names; never the real one. A dict, since some are."""

    def __new__(cls, *arguments, **keywords):
        return super().__new__(cls)

    def __init__(self, *arguments, **keywords):
        self.arguments = arguments

    def __setstate__(self, state):
        self.state = state

    def __call__(self, *arguments, **keywords):
        return Inert(*arguments)


class InertUnpickler(pickle.Unpickler):
    """Resolves torch's and the containers' names only; everything else becomes Inert."""

    def find_class(self, module, name):
        if module.split(".")[0] in ("torch", "collections", "_codecs") and "load" not in name:
            return super().find_class(module, name)
        return type(name, (Inert,), {"__module__": module})


class InertPickle:
    """The module interface torch.load(pickle_module=…) asks for."""

    Unpickler = InertUnpickler
    load = staticmethod(lambda stream, **options: InertUnpickler(stream, **options).load())


def by_kilter(kilter, path):
    """The same from the program: name -> (shape, SHA-256)."""
    answer = kilter("inspect", "--json", "--tensors", "--hash", path, status=0).json
    return {t["name"]: (t["shape"], t["sha256"]) for t in answer["tensors"]}
