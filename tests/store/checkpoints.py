"""Checkpoints to save, made from numpy and JSON alone; what tests of stores share."""

import json
import struct

import numpy as np


def safetensors(tensors):
    """tensors: {name: float32 array or bytes}."""
    header, data = {}, b""
    for name, value in tensors.items():
        dtype, shape = ("F32", list(value.shape)) if isinstance(value, np.ndarray) else ("U8", [len(value)])
        content = value.astype("<f4").tobytes() if isinstance(value, np.ndarray) else value
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def write_series(folder, steps, seed=0, size=4000):
    """checkpoint-N folders as a trainer leaves them: weights that move, a loss that falls, then rises.
    {step: loss}."""
    rng = np.random.default_rng(seed)
    weights = {"a.weight": rng.normal(0, 0.02, (size // 40, 40)), "b.weight": rng.normal(0, 0.02, size)}
    frozen = rng.normal(0, 0.02, size)
    losses, history = {}, []
    for number, step in enumerate(sorted(steps)):
        for value in weights.values():
            value += rng.normal(0, 1e-4, value.shape)
        losses[step] = round(3 - number * 0.25 + (0.8 if number == len(steps) - 1 else 0), 4)
        history.append({"step": step, "epoch": step / 100, "loss": losses[step], "learning_rate": 5e-05 / (number + 1),
                        "grad_norm": 1.5})
        target = folder / f"checkpoint-{step}"
        target.mkdir(parents=True)
        (target / "model.safetensors").write_bytes(safetensors({**weights, "frozen.weight": frozen}))
        (target / "config.json").write_text(json.dumps({"model_type": "gpt2", "hidden_size": 40}))
        (target / "trainer_state.json").write_text(json.dumps(
            {"global_step": step, "epoch": step / 100, "max_steps": max(steps), "log_history": history}))
    return losses


def files_below(path):
    """{relative path: bytes}; a single file as {its name: bytes}."""
    if path.is_file():
        return {path.name: path.read_bytes()}
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}
