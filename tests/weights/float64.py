"""Linear blends in float64, rounded once by arithmetic of its own: nothing here knows how Kilter does it."""

import numpy as np
import torch

# Bits of the mantissa with the hidden one, smallest exponent of a normal number, largest number.
FORMATS = {
    torch.float32: (24, -126, float(np.finfo(np.float32).max)),
    torch.bfloat16: (8, -126, 2.0**128 - 2.0**120),
    torch.float16: (11, -14, 65504.0),
    torch.float8_e4m3fn: (4, -6, 448.0),
    torch.float8_e5m2: (3, -14, 57344.0),
}


def rounded(values, dtype):
    """float64 values that `dtype` has: the nearest, ties to even; beyond the range infinity (448 in e4m3)."""
    if dtype == torch.float64:
        return values
    bits, smallest, largest = FORMATS[dtype]
    _, exponent = np.frexp(values)
    unit = np.ldexp(1.0, np.maximum(exponent - 1, smallest) - (bits - 1))
    with np.errstate(invalid="ignore"):
        nearest = np.rint(values / unit) * unit  # both exact but for the rint
    nearest = np.where(np.isfinite(values), nearest, values)
    beyond = 448.0 if dtype == torch.float8_e4m3fn else np.inf
    return np.where(np.abs(nearest) > largest, np.copysign(beyond, values), nearest)


def too_large(values, dtype):
    return np.isfinite(values) & (np.abs(values) > largest_that_rounds(dtype))


def largest_that_rounds(dtype):
    """Halfway from the largest number to the next; the tie itself rounds up but for e4m3, whose last bit is even."""
    bits, _, largest = FORMATS[dtype]
    half = np.ldexp(1.0, int(np.frexp(largest)[1]) - bits - 1)
    return largest + half if dtype == torch.float8_e4m3fn else np.nextafter(largest + half, 0)


def weighted_sum(tensors, weights):
    total = weights[0] * as_float64(tensors[0])
    for tensor, weight in zip(tensors[1:], weights[1:]):
        total = total + weight * as_float64(tensor)
    return total


def as_float64(tensor):
    return tensor.to(torch.float64).numpy()


def assert_bits(tensor, values, dtype):
    """`tensor` is float64 `values` rounded once to `dtype`, bit for bit (NaN for NaN)."""
    assert tensor.dtype == dtype
    got, wanted = as_float64(tensor), rounded(values, dtype)
    np.testing.assert_array_equal(got, wanted)
    numbers = ~np.isnan(wanted)
    np.testing.assert_array_equal(np.signbit(got)[numbers], np.signbit(wanted)[numbers])
