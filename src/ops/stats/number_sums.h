// Everything one pass over numbers adds up.
#pragma once

#include "kilter/stats.h"

#include "ops/stats/channel_squares.h"
#include "ops/stats/number_histogram.h"
#include "tensor/kernels/value_moments.h"

namespace kilter::ops {

/// Numbers of one kind; add in a fixed order.
class NumberSums {
 public:
  /// `values` are changed: what is not finite becomes the smallest double, which is no zero and
  /// adds nothing to a channel's norm.
  void add(std::span<double> values, double smallest_normal);
  void add(const NumberSums& other);
  /// What does not depend on the order: everything but the moments, which are added apart.
  void add_counts(const NumberSums& other);
  void add_moments(const ValueMoments& moments) { moments_ += moments; }
  const ValueMoments& moments() const { return moments_; }
  NumberStats result() const;

 private:
  std::uint64_t numbers_ = 0, nan_ = 0, infinite_ = 0;
  ValueMoments moments_;
  NumberHistogram histogram_;
  ExponentCounts exponents_;
};

}  // namespace kilter::ops
