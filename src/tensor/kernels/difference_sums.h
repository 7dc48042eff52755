// Sums over two runs of numbers that tell how far apart they are.
#pragma once

#include <cstdint>
#include <span>

namespace kilter {

/// Over elements that are finite in both.
struct DifferenceSums {
  std::uint64_t elements = 0;    ///< all
  std::uint64_t not_finite = 0;  ///< NaN or infinite in one or both
  std::uint64_t changed = 0;     ///< not equal; two NaN are
  double largest = 0;            ///< max |b - a|
  double sum = 0, squares = 0;   ///< of b - a
  double dot = 0, a_squares = 0, b_squares = 0;

  DifferenceSums& operator+=(const DifferenceSums& other);
};

/// Sums are made in eight lanes that are added at the end: the same on every instruction set.
DifferenceSums difference_sums(std::span<const double> a, std::span<const double> b);

}  // namespace kilter
