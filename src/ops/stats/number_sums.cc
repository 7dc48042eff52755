#include "ops/stats/number_sums.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace kilter::ops {
namespace {

/// The finite ones together; the others are counted and made small in place.
std::vector<double> take_finite(std::span<double> values, std::uint64_t& nan,
                                std::uint64_t& infinite) {
  std::vector<double> finite;
  finite.reserve(values.size());
  for (double& value : values) {
    if (std::isfinite(value)) {
      finite.push_back(value);
      continue;
    }
    ++(std::isnan(value) ? nan : infinite);
    value = std::numeric_limits<double>::denorm_min();
  }
  return finite;
}

}  // namespace

void NumberSums::add(std::span<double> values, double smallest_normal) {
  numbers_ += values.size();
  std::span<const double> finite = values;
  std::vector<double> kept;
  if (count_finite(values) < values.size()) {  // seldom
    kept = take_finite(values, nan_, infinite_);
    finite = kept;
  }
  const ValueMoments moments = value_moments(finite, smallest_normal);
  moments_ += moments;
  histogram_.add(finite, moments.min, moments.max);
  exponents_.add(finite);
}

void NumberSums::add(const NumberSums& other) {
  add_counts(other);
  moments_ += other.moments_;
}

void NumberSums::add_counts(const NumberSums& other) {
  numbers_ += other.numbers_;
  nan_ += other.nan_;
  infinite_ += other.infinite_;
  histogram_.add(other.histogram_);
  exponents_.add(other.exponents_);
}

NumberStats NumberSums::result() const {
  NumberStats out;
  out.numbers = numbers_;
  out.finite = moments_.count;
  out.nan = nan_;
  out.infinite = infinite_;
  out.zero = moments_.zeros;
  out.subnormal = moments_.subnormals;
  out.min = moments_.min;
  out.max = moments_.max;
  out.mean = moments_.mean;
  out.l1 = moments_.magnitudes;
  out.l2 = std::sqrt(moments_.squares);
  out.largest = std::max(std::fabs(out.min), std::fabs(out.max));
  const auto count = static_cast<double>(moments_.count);
  if (moments_.m2 > 0) {
    out.deviation = std::sqrt(moments_.m2 / count);
    out.skewness = std::sqrt(count) * moments_.m3 / std::pow(moments_.m2, 1.5);
    out.kurtosis = count * moments_.m4 / (moments_.m2 * moments_.m2) - 3;
  }
  out.histogram = histogram_.result();
  ExponentCounts exponents = exponents_;
  exponents.remove_zeros(moments_.zeros);
  out.exponents = exponents.result();
  return out;
}

}  // namespace kilter::ops
