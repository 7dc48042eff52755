// A histogram whose bins double in width as numbers need it: one pass, any order, one result.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "kilter/stats.h"

namespace kilter::ops {

/// Bins are [k, k + 1) * 2^level. The level is the smallest at which all numbers fall into 64 bins
/// next to each other: it follows from the least and the largest number alone, and two bins of one
/// level make one of the next, so that neither order nor grouping matters.
class NumberHistogram {
 public:
  static constexpr std::size_t kBins = 64;

  /// Finite numbers of [min, max].
  void add(std::span<const double> values, double min, double max);
  void add(const NumberHistogram& other);
  ValueHistogram result() const;

 private:
  void cover(double min, double max);
  void widen(int level, std::int64_t first);

  bool empty_ = true;
  double min_ = 0, max_ = 0;
  int level_ = 0;
  std::int64_t first_ = 0;  // the k of the first bin
  std::array<std::uint64_t, kBins> counts_{};
};

/// Counts by exponent.
class ExponentCounts {
 public:
  /// Finite numbers; zeros are left out.
  void add(std::span<const double> values);
  void add(const ExponentCounts& other);
  void remove_zeros(std::uint64_t zeros) { counts_[0] -= zeros; }
  ExponentHistogram result() const;

 private:
  std::array<std::uint64_t, 2048> counts_{};
};

}  // namespace kilter::ops
