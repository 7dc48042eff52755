#include "tensor/kernels/difference_sums.h"

#include <algorithm>
#include <cmath>
#include <limits>

// A plain loop over eight lanes, compiled once for each instruction set; no product is fused with
// a sum (-ffp-contract=off for this file).
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tensor/kernels/difference_sums.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef KILTER_DIFFERENCE_SUMS_ONCE_
#define KILTER_DIFFERENCE_SUMS_ONCE_
namespace kilter {

inline constexpr std::size_t kSumLanes = 8;
struct LaneSums {
  double largest[kSumLanes] = {}, sum[kSumLanes] = {}, squares[kSumLanes] = {};
  double dot[kSumLanes] = {}, a_squares[kSumLanes] = {}, b_squares[kSumLanes] = {};
  std::uint64_t changed[kSumLanes] = {}, finite[kSumLanes] = {};
};

}  // namespace kilter
#endif

HWY_BEFORE_NAMESPACE();
namespace kilter::HWY_NAMESPACE {

/// `count` is a multiple of the lanes.
void add_lanes(const double* a, const double* b, std::size_t count, LaneSums* out) {
  constexpr double kMax = std::numeric_limits<double>::max();
  LaneSums sums = *out;
  for (std::size_t i = 0; i < count; i += kSumLanes) {
    for (std::size_t lane = 0; lane < kSumLanes; ++lane) {
      const double x = a[i + lane], y = b[i + lane];
      const bool finite = std::fabs(x) <= kMax && std::fabs(y) <= kMax;
      const double left = finite ? x : 0.0, right = finite ? y : 0.0;
      const double difference = right - left, magnitude = std::fabs(difference);
      sums.finite[lane] += finite ? 1 : 0;
      sums.changed[lane] += left != right ? 1 : 0;
      sums.largest[lane] = magnitude > sums.largest[lane] ? magnitude : sums.largest[lane];
      sums.sum[lane] += difference;
      sums.squares[lane] += difference * difference;
      sums.dot[lane] += left * right;
      sums.a_squares[lane] += left * left;
      sums.b_squares[lane] += right * right;
    }
  }
  *out = sums;
}

}  // namespace kilter::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kilter {
namespace {

HWY_EXPORT(add_lanes);

template <typename T>
T total(const T (&lanes)[kSumLanes]) {
  T out = 0;
  for (const T lane : lanes) out += lane;
  return out;
}

}  // namespace

DifferenceSums& DifferenceSums::operator+=(const DifferenceSums& other) {
  elements += other.elements;
  not_finite += other.not_finite;
  changed += other.changed;
  largest = std::max(largest, other.largest);
  sum += other.sum;
  squares += other.squares;
  dot += other.dot;
  a_squares += other.a_squares;
  b_squares += other.b_squares;
  return *this;
}

DifferenceSums difference_sums(std::span<const double> a, std::span<const double> b) {
  const std::size_t count = std::min(a.size(), b.size());
  const std::size_t whole = count - count % kSumLanes;
  LaneSums lanes;
  HWY_DYNAMIC_DISPATCH(add_lanes)(a.data(), b.data(), whole, &lanes);
  double left[kSumLanes] = {}, right[kSumLanes] = {};  // equal zeros change no sum
  std::copy(a.begin() + static_cast<std::ptrdiff_t>(whole),
            a.begin() + static_cast<std::ptrdiff_t>(count), left);
  std::copy(b.begin() + static_cast<std::ptrdiff_t>(whole),
            b.begin() + static_cast<std::ptrdiff_t>(count), right);
  HWY_DYNAMIC_DISPATCH(add_lanes)(left, right, kSumLanes, &lanes);
  DifferenceSums out;
  out.elements = count;
  out.not_finite = count - (total(lanes.finite) - (kSumLanes - (count - whole)));
  out.changed = total(lanes.changed);
  for (std::size_t i = 0; i < count && out.not_finite > 0; ++i) {  // seldom
    if (std::isfinite(a[i]) && std::isfinite(b[i])) continue;
    const bool same = a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]));
    out.changed += same ? 0U : 1U;
  }
  out.largest = *std::ranges::max_element(lanes.largest);
  out.sum = total(lanes.sum);
  out.squares = total(lanes.squares);
  out.dot = total(lanes.dot);
  out.a_squares = total(lanes.a_squares);
  out.b_squares = total(lanes.b_squares);
  return out;
}

}  // namespace kilter
#endif  // HWY_ONCE
