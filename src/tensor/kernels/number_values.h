// Elements of any dtype that stands for numbers, as binary64.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kilter/dtype.h"

namespace kilter {

/// True for bool, integers, floats (of any width), complex numbers and torch's quantized integers;
/// false for raw bits.
bool has_number_values(DType dtype);

/// Numbers in one element: 2 for complex dtypes (their parts), else 1.
unsigned numbers_per_element(DType dtype);

/// `out` [count * numbers_per_element()] = elements [0, count) of `in` (packed, little-endian).
/// Exact but for integers beyond 2^53, which round to nearest even; of quantized dtypes the stored
/// integer. Elements narrower than a byte must begin at a whole byte.
/// `in` must hold packed bytes for `count` elements.
void widen_numbers(DType from, std::span<const std::byte> in, std::size_t count, double* out);

/// The smallest number of a float dtype (or of a complex dtype's parts) with all its digits:
/// 2^-126 for f32 and bf16. 0 for dtypes without subnormal numbers.
double smallest_normal(DType dtype);

}  // namespace kilter
