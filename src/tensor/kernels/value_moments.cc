#include "tensor/kernels/value_moments.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

// Plain loops over eight lanes, compiled once for each instruction set; no product is fused with a
// sum (-ffp-contract=off for this file).
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tensor/kernels/value_moments.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef KILTER_VALUE_MOMENTS_ONCE_
#define KILTER_VALUE_MOMENTS_ONCE_
namespace kilter {

inline constexpr std::size_t kMomentLanes = 8;
// The compilers' own vectors: they stay in registers, whatever the set's width.
using EightDoubles = double __attribute__((vector_size(64)));
using EightCounts = std::int64_t __attribute__((vector_size(64)));

struct PlainLanes {
  EightDoubles sum, magnitudes, squares, min, max;
  EightCounts zeros, subnormals;
};
struct CentralLanes {
  EightDoubles m2, m3, m4;
};

}  // namespace kilter
#endif

HWY_BEFORE_NAMESPACE();
namespace kilter::HWY_NAMESPACE {

std::size_t finite_lanes(const double* values, std::size_t count) {
  constexpr double kMax = std::numeric_limits<double>::max();
  std::size_t finite = 0;
  for (std::size_t i = 0; i < count; ++i) finite += std::fabs(values[i]) <= kMax ? 1U : 0U;
  return finite;
}

/// `count` is a multiple of the lanes, here and below.
void plain_lanes(const double* values, std::size_t count, double smallest, PlainLanes* out) {
  PlainLanes sums = *out;
  for (std::size_t i = 0; i < count; i += kMomentLanes) {
    EightDoubles x;
    std::memcpy(&x, values + i, sizeof(x));
    const EightDoubles magnitude = x < 0 ? -x : x;
    sums.sum += x;
    sums.magnitudes += magnitude;
    sums.squares += x * x;
    sums.min = x < sums.min ? x : sums.min;
    sums.max = x > sums.max ? x : sums.max;
    sums.zeros -= x == 0;  // a comparison is -1 where it holds
    sums.subnormals -= magnitude < smallest;
  }
  *out = sums;
}

void central_lanes(const double* values, std::size_t count, double mean, CentralLanes* out) {
  CentralLanes sums = *out;
  for (std::size_t i = 0; i < count; i += kMomentLanes) {
    EightDoubles x;
    std::memcpy(&x, values + i, sizeof(x));
    x -= mean;
    const EightDoubles square = x * x;
    sums.m2 += square;
    sums.m3 += square * x;
    sums.m4 += square * square;
  }
  *out = sums;
}

inline double square_of(double x) {
  constexpr double kSmallest = std::numeric_limits<double>::denorm_min();
  const double square = x * x, magnitude = std::fabs(x);
  const double least = magnitude < kSmallest ? magnitude : kSmallest;
  return square > least ? square : least;
}

void square_lanes(const double* values, std::size_t count, double* lanes) {
  double sums[kMomentLanes];
  for (std::size_t lane = 0; lane < kMomentLanes; ++lane) sums[lane] = lanes[lane];
  for (std::size_t i = 0; i < count; i += kMomentLanes)
    for (std::size_t lane = 0; lane < kMomentLanes; ++lane)
      sums[lane] += square_of(values[i + lane]);
  for (std::size_t lane = 0; lane < kMomentLanes; ++lane) lanes[lane] = sums[lane];
}

void add_square_lanes(const double* values, std::size_t count, double* HWY_RESTRICT sums) {
  for (std::size_t i = 0; i < count; ++i) sums[i] += square_of(values[i]);
}

void index_lanes(const double* values, std::size_t count, double scale, double first,
                 std::uint32_t* HWY_RESTRICT out) {
  const auto base = static_cast<std::int32_t>(first);
  for (std::size_t i = 0; i < count; ++i) {
    const double scaled = values[i] * scale;  // exact
    const auto whole = static_cast<std::int32_t>(scaled);
    const std::int32_t below = static_cast<double>(whole) > scaled ? 1 : 0;
    out[i] = static_cast<std::uint32_t>(whole - below - base);
  }
}

void exponent_lanes(const double* values, std::size_t count, std::uint32_t* HWY_RESTRICT out) {
  for (std::size_t i = 0; i < count; ++i)
    out[i] = static_cast<std::uint32_t>(std::bit_cast<std::uint64_t>(values[i]) >> 52 & 0x7FF);
}

}  // namespace kilter::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kilter {
namespace {

HWY_EXPORT(finite_lanes);
HWY_EXPORT(plain_lanes);
HWY_EXPORT(central_lanes);
HWY_EXPORT(square_lanes);
HWY_EXPORT(add_square_lanes);
HWY_EXPORT(index_lanes);
HWY_EXPORT(exponent_lanes);

template <typename Lanes>
auto lanes_total(const Lanes& lanes) {
  auto out = lanes[0];
  for (std::size_t i = 1; i < kMomentLanes; ++i) out += lanes[i];
  return out;
}

/// The elements behind the last whole group, filled up.
struct Tail {
  double values[kMomentLanes];
  std::size_t count;
};
Tail tail_of(std::span<const double> values, double filler) {
  Tail tail{{}, values.size() % kMomentLanes};
  std::ranges::fill(tail.values, filler);
  std::copy(values.end() - static_cast<std::ptrdiff_t>(tail.count), values.end(), tail.values);
  return tail;
}

void add_plain(std::span<const double> values, double smallest, ValueMoments& out) {
  PlainLanes lanes{};
  for (std::size_t i = 0; i < kMomentLanes; ++i) lanes.min[i] = lanes.max[i] = values[0];
  const Tail tail = tail_of(values, values[0]);
  HWY_DYNAMIC_DISPATCH(plain_lanes)
  (values.data(), values.size() - tail.count, smallest, &lanes);
  for (std::size_t i = 0; i < tail.count; ++i) {
    const double x = tail.values[i];
    lanes.min[i] = std::min<double>(lanes.min[i], x);
    lanes.max[i] = std::max<double>(lanes.max[i], x);
    lanes.sum[i] += x;
    lanes.magnitudes[i] += std::fabs(x);
    lanes.squares[i] += x * x;
    lanes.zeros[i] += x == 0 ? 1 : 0;
    lanes.subnormals[i] += std::fabs(x) < smallest ? 1 : 0;
  }
  out.count = values.size();
  out.zeros = static_cast<std::uint64_t>(lanes_total(lanes.zeros));
  const auto small = static_cast<std::uint64_t>(lanes_total(lanes.subnormals));
  out.subnormals = smallest > 0 ? small - out.zeros : 0;
  out.min = out.max = values[0];
  for (std::size_t i = 0; i < kMomentLanes; ++i) {
    out.min = std::min<double>(out.min, lanes.min[i]);
    out.max = std::max<double>(out.max, lanes.max[i]);
  }
  out.mean = lanes_total(lanes.sum) / static_cast<double>(out.count);
  out.magnitudes = lanes_total(lanes.magnitudes);
  out.squares = lanes_total(lanes.squares);
}

}  // namespace

ValueMoments& ValueMoments::operator+=(const ValueMoments& other) {
  if (other.count == 0) return *this;
  if (count == 0) return *this = other;
  const auto a = static_cast<double>(count), b = static_cast<double>(other.count), n = a + b;
  const double step = other.mean - mean, share = step / n, square = share * share;
  m4 += other.m4 + step * share * square * a * b * (a * a - a * b + b * b) +
        6 * square * (a * a * other.m2 + b * b * m2) + 4 * share * (a * other.m3 - b * m3);
  m3 += other.m3 + step * square * a * b * (a - b) + 3 * share * (a * other.m2 - b * m2);
  m2 += other.m2 + step * share * a * b;
  mean += share * b;
  count += other.count;
  zeros += other.zeros;
  subnormals += other.subnormals;
  min = std::min(min, other.min);
  max = std::max(max, other.max);
  magnitudes += other.magnitudes;
  squares += other.squares;
  return *this;
}

std::size_t count_finite(std::span<const double> values) {
  return HWY_DYNAMIC_DISPATCH(finite_lanes)(values.data(), values.size());
}

ValueMoments value_moments(std::span<const double> values, double smallest_normal) {
  ValueMoments out;
  if (values.empty()) return out;
  add_plain(values, smallest_normal, out);
  CentralLanes lanes{};
  const Tail tail = tail_of(values, out.mean);  // a distance of 0 changes no sum
  HWY_DYNAMIC_DISPATCH(central_lanes)
  (values.data(), values.size() - tail.count, out.mean, &lanes);
  HWY_DYNAMIC_DISPATCH(central_lanes)(tail.values, kMomentLanes, out.mean, &lanes);
  out.m2 = lanes_total(lanes.m2);
  out.m3 = lanes_total(lanes.m3);
  out.m4 = lanes_total(lanes.m4);
  return out;
}

double sum_squares(std::span<const double> values) {
  double lanes[kMomentLanes] = {};
  const Tail tail = tail_of(values, 0);
  HWY_DYNAMIC_DISPATCH(square_lanes)(values.data(), values.size() - tail.count, lanes);
  if (tail.count > 0) HWY_DYNAMIC_DISPATCH(square_lanes)(tail.values, kMomentLanes, lanes);
  return lanes_total(lanes);
}

void add_squares(std::span<const double> values, double* sums) {
  HWY_DYNAMIC_DISPATCH(add_square_lanes)(values.data(), values.size(), sums);
}

void bin_indices(std::span<const double> values, double scale, double first, std::uint32_t* out) {
  HWY_DYNAMIC_DISPATCH(index_lanes)(values.data(), values.size(), scale, first, out);
}

void exponent_fields(std::span<const double> values, std::uint32_t* out) {
  HWY_DYNAMIC_DISPATCH(exponent_lanes)(values.data(), values.size(), out);
}

}  // namespace kilter
#endif  // HWY_ONCE
