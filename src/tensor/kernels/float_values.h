// Runs of floats as binary64 and back, rounded once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kilter/dtype.h"

namespace kilter {

/// True for f64, f32, bf16, f16, f8_e4m3fn and f8_e5m2: the dtypes that weights are computed in.
bool has_float_values(DType dtype);

/// `out` [count] = the elements of `in` (packed, little-endian). Exact: each dtype here is a subset
/// of binary64. NaN stays NaN, with its sign.
void widen_floats(DType from, const std::byte* in, std::size_t count, double* out);

/// `out` [count] = `in` rounded once to nearest, ties to even, subnormals kept. What is too large
/// becomes infinite; in f8_e4m3fn, which has no infinity, the largest number (448), as in torch.
/// Every NaN becomes the quiet one of its sign.
void narrow_floats(DType to, const double* in, std::size_t count, std::byte* out);

struct RangeCounts {
  std::uint64_t too_large = 0;   ///< finite numbers beyond the dtype's range
  std::uint64_t not_finite = 0;  ///< NaN and infinities
  bool operator==(const RangeCounts&) const = default;
};
RangeCounts count_range(DType to, std::span<const double> values);

/// One element at a time through integers: what tests compare the others with.
void narrow_floats_reference(DType to, const double* in, std::size_t count, std::byte* out);

/// values *= weight.
void scale(double weight, std::span<double> values);

/// sum += weight * values, element by element: one rounding of the product, one of the sum.
void add_weighted(double weight, std::span<const double> values, double* sum);

}  // namespace kilter
