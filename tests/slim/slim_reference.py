"""What the slimming operations shall do, in numpy and float64: nothing here knows how Kilter does it."""

import numpy as np
import torch
from safetensors.torch import load_file

from float64 import as_float64, rounded

LARGEST = {torch.float8_e4m3fn: 448.0, torch.float8_e5m2: 57344.0}


def load_all(path):
    if path.is_file():
        return load_file(path)
    tensors = {}
    for part in sorted(path.glob("*.safetensors")):
        tensors |= load_file(part)
    return tensors


def blocks_of(values, rows, columns):
    for top in range(0, values.shape[0], rows):
        for left in range(0, values.shape[1], columns):
            yield (top // rows, left // columns), (slice(top, top + rows), slice(left, left + columns))


def scaled(tensor, dtype, rows=None, columns=None):
    """(float64 values that `dtype` has, float32 scales) of a matrix, block by block."""
    values = as_float64(tensor)
    rows, columns = rows or values.shape[0], columns or values.shape[1]
    scales = np.zeros((-(-values.shape[0] // rows), -(-values.shape[1] // columns)), np.float32)
    narrow = np.zeros_like(values)
    for at, part in blocks_of(values, rows, columns):
        largest = np.abs(values[part]).max()
        scales[at] = np.float32(max(largest / LARGEST[dtype], 2.0**-126)) if largest else 1
        narrow[part] = rounded(values[part] / np.float64(scales[at]), dtype)
    return narrow, scales


def multiplied(narrow, scales, rows=None, columns=None):
    out = np.array(narrow, np.float64)
    for at, part in blocks_of(out, rows or out.shape[0], columns or out.shape[1]):
        out[part] *= np.float64(scales[at])
    return out


def smallest_go(values, count):
    """Which of `values` (flat) stay when `count` go: of equal magnitudes the earlier stay; NaN is largest."""
    magnitudes = np.where(np.isnan(values), np.inf, np.abs(values))
    order = np.lexsort((-np.arange(values.size), magnitudes))
    stay = np.ones(values.size, bool)
    stay[order[:count]] = False
    return stay


def pattern_stays(values, keep, group):
    """N:M along the last dimension."""
    flat = np.abs(values).reshape(-1, group)
    order = np.argsort(-flat, axis=1, kind="stable")[:, :keep]
    stay = np.zeros(flat.shape, bool)
    np.put_along_axis(stay, order, True, axis=1)
    return stay.reshape(values.shape)
