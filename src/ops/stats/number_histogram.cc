#include "ops/stats/number_histogram.h"

#include <algorithm>
#include <cmath>

#include "tensor/kernels/value_moments.h"

namespace kilter::ops {
namespace {

// Levels this far below the largest number would make bins' numbers too long.
constexpr int kHistogramDepth = 26, kHistogramLevelMin = -1000;
constexpr std::size_t kHistogramBlock = 1024;

std::int64_t bin_at(double value, int level) {
  return static_cast<std::int64_t>(std::floor(std::ldexp(value, -level)));
}

int histogram_level(double min, double max) {
  const double magnitude = std::max(std::fabs(min), std::fabs(max));
  if (magnitude == 0) return 0;
  int level = std::max(std::ilogb(magnitude) - kHistogramDepth, kHistogramLevelMin);
  const double range = max / 64 - min / 64;  // halves first: it must not overflow
  if (range > 0) level = std::max(level, std::ilogb(range) - 1);
  while (bin_at(max, level) - bin_at(min, level) >=
         static_cast<std::int64_t>(NumberHistogram::kBins))
    ++level;
  return level;
}

}  // namespace

void NumberHistogram::add(std::span<const double> values, double min, double max) {
  if (values.empty()) return;
  cover(min, max);
  const double scale = std::ldexp(1.0, -level_);
  std::uint32_t indices[kHistogramBlock];
  for (std::size_t at = 0; at < values.size(); at += kHistogramBlock) {
    const auto part = values.subspan(at, std::min(kHistogramBlock, values.size() - at));
    bin_indices(part, scale, static_cast<double>(first_), indices);
    for (std::size_t i = 0; i < part.size(); ++i) ++counts_[indices[i] & (kBins - 1)];
  }
}

void NumberHistogram::add(const NumberHistogram& other) {
  if (other.empty_) return;
  cover(other.min_, other.max_);
  NumberHistogram same = other;
  same.widen(level_, first_);
  for (std::size_t i = 0; i < kBins; ++i) counts_[i] += same.counts_[i];
}

void NumberHistogram::cover(double min, double max) {
  if (!empty_ && min >= min_ && max <= max_) return;
  min_ = empty_ ? min : std::min(min_, min);
  max_ = empty_ ? max : std::max(max_, max);
  const int level = histogram_level(min_, max_);
  if (empty_) level_ = level;
  empty_ = false;
  widen(level, bin_at(min_, level));
}

void NumberHistogram::widen(int level, std::int64_t first) {
  const int steps = std::min(level - level_, 62);
  std::array<std::uint64_t, kBins> wider{};
  for (std::size_t i = 0; i < kBins; ++i) {
    if (counts_[i] == 0) continue;
    const std::int64_t bin = (first_ + static_cast<std::int64_t>(i)) >> steps;
    wider[static_cast<std::size_t>(bin - first)] += counts_[i];
  }
  counts_ = wider;
  level_ = level;
  first_ = first;
}

ValueHistogram NumberHistogram::result() const {
  ValueHistogram out;
  if (empty_) return out;
  out.width = std::ldexp(1.0, level_);
  out.first = std::ldexp(static_cast<double>(first_), level_);
  const std::int64_t bins = bin_at(max_, level_) - first_ + 1;
  out.counts.assign(counts_.begin(), counts_.begin() + bins);
  return out;
}

void ExponentCounts::add(std::span<const double> values) {
  std::uint32_t fields[kHistogramBlock];
  for (std::size_t at = 0; at < values.size(); at += kHistogramBlock) {
    const auto part = values.subspan(at, std::min(kHistogramBlock, values.size() - at));
    exponent_fields(part, fields);
    for (std::size_t i = 0; i < part.size(); ++i) ++counts_[fields[i] & 2047];
  }
}

void ExponentCounts::add(const ExponentCounts& other) {
  for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
}

ExponentHistogram ExponentCounts::result() const {
  constexpr int kBias = 1023;
  const auto is_used = [](std::uint64_t count) { return count > 0; };
  const auto first = std::ranges::find_if(counts_, is_used);
  ExponentHistogram out;
  if (first == counts_.end()) return out;
  const auto last = std::find_if(counts_.rbegin(), counts_.rend(), is_used).base();
  out.first = static_cast<int>(first - counts_.begin()) - kBias;
  out.counts.assign(first, last);
  return out;
}

}  // namespace kilter::ops
