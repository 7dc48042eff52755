// What a run of numbers sums up to: count, range, norms and central moments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace kilter {

/// Of finite numbers. Moments are about the mean, so that a large mean costs no digits; two of them
/// are added by Pébay's formulas (Sandia report SAND2008-6212).
struct ValueMoments {
  std::uint64_t count = 0, zeros = 0;
  std::uint64_t subnormals = 0;  ///< not zero, smaller than the dtype's smallest normal number
  double min = 0, max = 0;       ///< 0 where count is 0
  double mean = 0, m2 = 0, m3 = 0, m4 = 0;  ///< sums of powers of (value - mean)
  double magnitudes = 0, squares = 0;       ///< sums of |value| and of value^2

  /// Not associative to the last bit: add in a fixed order.
  ValueMoments& operator+=(const ValueMoments& other);
};

/// How many are neither NaN nor infinite.
std::size_t count_finite(std::span<const double> values);

/// Of numbers that are all finite. Sums are made in eight lanes that are added at the end: the same
/// on every instruction set.
ValueMoments value_moments(std::span<const double> values, double smallest_normal);

/// The sum of squares, in eight lanes as above. A number that is not zero counts as one: its square
/// is at least the smallest double.
double sum_squares(std::span<const double> values);

/// sums[i] += values[i]^2, with squares as above.
void add_squares(std::span<const double> values, double* sums);

/// out[i] = floor(values[i] * scale) - first, `scale` a power of two; all of them below 2^31.
void bin_indices(std::span<const double> values, double scale, double first, std::uint32_t* out);

/// out[i] = the exponent field of the double (0 to 2047).
void exponent_fields(std::span<const double> values, std::uint32_t* out);

}  // namespace kilter
