#include "ops/merge/kernels/merge_lanes.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

// Plain loops, compiled once for each instruction set; no product is fused with a sum
// (-ffp-contract=off for this file), so that all sets agree.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/merge/kernels/merge_lanes.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef KILTER_MERGE_LANES_ONCE_
#define KILTER_MERGE_LANES_ONCE_
namespace kilter::ops {

inline constexpr std::size_t kMergeSumLanes = 8;
inline constexpr double kSmallestDivisor = 1e-8;

}  // namespace kilter::ops
#endif

HWY_BEFORE_NAMESPACE();
namespace kilter::ops::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void subtract_lanes(const double* base, std::size_t count, double* x) {
  for (std::size_t i = 0; i < count; ++i) x[i] = x[i] - base[i];
}

void add_lanes(const double* base, std::size_t count, double* x) {
  for (std::size_t i = 0; i < count; ++i) x[i] = base[i] + x[i];
}

void add_products_lanes(const double* factors, const double* x, std::size_t count, double* sum) {
  for (std::size_t i = 0; i < count; ++i) {
    const double product = factors[i] * x[i];
    sum[i] = sum[i] + product;
  }
}

void scaled_sum_lanes(const double* base, double lambda, const double* sum, std::size_t count,
                      double* out) {
  for (std::size_t i = 0; i < count; ++i) {
    const double scaled = lambda * sum[i];
    out[i] = base[i] + scaled;
  }
}

void divided_sum_lanes(const double* base, double lambda, const double* sum, const double* divisor,
                       const double* witness, std::size_t count, double* out) {
  constexpr double kMax = std::numeric_limits<double>::max();
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  for (std::size_t i = 0; i < count; ++i) {
    const double by = std::fabs(divisor[i]) < kSmallestDivisor ? 1.0 : divisor[i];
    const double scaled = lambda * (sum[i] / by);
    const double value = base[i] + scaled;
    out[i] = std::fabs(witness[i]) <= kMax ? value : kNaN;
  }
}

void agreeing_lanes(const double* values, const double* election, double factor, double weight,
                    std::size_t count, double* sum, double* divisor) {
  for (std::size_t i = 0; i < count; ++i) {
    const double turned = election[i] >= 0 ? values[i] : -values[i];
    const double weighted = factor * values[i];
    const double kept = turned > 0 ? weighted : 0.0;
    const double share = turned > 0 ? weight : 0.0;
    sum[i] = sum[i] + kept;
    divisor[i] = divisor[i] + share;
  }
}

/// `count` is a multiple of the lanes.
void dot_lanes(const double* a, const double* b, std::size_t count, double* lanes) {
  double sums[kMergeSumLanes] = {};
  for (std::size_t i = 0; i < count; i += kMergeSumLanes)
    for (std::size_t lane = 0; lane < kMergeSumLanes; ++lane)
      sums[lane] += a[i + lane] * b[i + lane];
  for (std::size_t lane = 0; lane < kMergeSumLanes; ++lane) lanes[lane] += sums[lane];
}

void magnitude_sum_lanes(const double* a, std::size_t count, double* lanes) {
  double sums[kMergeSumLanes] = {};
  for (std::size_t i = 0; i < count; i += kMergeSumLanes)
    for (std::size_t lane = 0; lane < kMergeSumLanes; ++lane) sums[lane] += std::fabs(a[i + lane]);
  for (std::size_t lane = 0; lane < kMergeSumLanes; ++lane) lanes[lane] += sums[lane];
}

void difference_sum_lanes(const double* a, const double* b, std::size_t count, double* lanes) {
  double sums[kMergeSumLanes] = {};
  for (std::size_t i = 0; i < count; i += kMergeSumLanes)
    for (std::size_t lane = 0; lane < kMergeSumLanes; ++lane)
      sums[lane] += std::fabs(a[i + lane] - b[i + lane]);
  for (std::size_t lane = 0; lane < kMergeSumLanes; ++lane) lanes[lane] += sums[lane];
}

/// Whole vectors: what lies behind `count` is computed too, and not looked at.
void elected_lanes(const SignElection& how, const double* base, std::size_t count, double* out) {
  const hn::ScalableTag<double> tag;
  const auto zero = hn::Zero(tag), one = hn::Set(tag, 1.0);
  const auto smallest = hn::Set(tag, kSmallestDivisor), lambda = hn::Set(tag, how.lambda);
  for (std::size_t i = 0; i < count; i += hn::Lanes(tag)) {
    auto total = hn::Mul(hn::Set(tag, how.factors[0]), hn::LoadU(tag, how.terms[0] + i));
    for (std::size_t t = 1; t < how.term_count; ++t)
      total =
          hn::Add(total, hn::Mul(hn::Set(tag, how.factors[t]), hn::LoadU(tag, how.terms[t] + i)));
    const auto elects_plus = hn::Ge(total, zero);
    auto sum = zero, divisor = zero;
    for (std::size_t t = 0; t < how.term_count; ++t) {
      const auto value = hn::Mul(hn::Set(tag, how.factors[t]), hn::LoadU(tag, how.terms[t] + i));
      const auto agrees = hn::Gt(hn::IfThenElse(elects_plus, value, hn::Neg(value)), zero);
      const auto weighted = hn::Mul(hn::Set(tag, how.multiples[t]), value);
      sum = hn::Add(sum, hn::IfThenElseZero(agrees, weighted));
      divisor = hn::Add(divisor, hn::IfThenElseZero(agrees, hn::Set(tag, how.weights[t])));
    }
    if (how.normalize) {
      const auto is_small = hn::Lt(hn::Abs(divisor), smallest);
      sum = hn::Div(sum, hn::IfThenElse(is_small, one, divisor));
    }
    const auto nothing = hn::Sub(total, total);  // NaN where a term is not finite
    const auto result = hn::Add(hn::LoadU(tag, base + i), hn::Mul(lambda, sum));
    hn::StoreU(hn::IfThenElse(hn::Eq(nothing, zero), result, nothing), tag, out + i);
  }
}

}  // namespace kilter::ops::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kilter::ops {
namespace {

HWY_EXPORT(subtract_lanes);
HWY_EXPORT(add_lanes);
HWY_EXPORT(add_products_lanes);
HWY_EXPORT(scaled_sum_lanes);
HWY_EXPORT(divided_sum_lanes);
HWY_EXPORT(agreeing_lanes);
HWY_EXPORT(dot_lanes);
HWY_EXPORT(magnitude_sum_lanes);
HWY_EXPORT(difference_sum_lanes);
HWY_EXPORT(elected_lanes);

double lane_total(const double (&lanes)[kMergeSumLanes]) {
  double out = 0;
  for (const double lane : lanes) out += lane;
  return out;
}

}  // namespace

void subtract(const double* base, std::size_t count, double* x) {
  HWY_DYNAMIC_DISPATCH(subtract_lanes)(base, count, x);
}

void add(const double* base, std::size_t count, double* x) {
  HWY_DYNAMIC_DISPATCH(add_lanes)(base, count, x);
}

void add_products(const double* factors, const double* x, std::size_t count, double* sum) {
  HWY_DYNAMIC_DISPATCH(add_products_lanes)(factors, x, count, sum);
}

void add_scaled_sum(const double* base, double lambda, const double* sum, std::size_t count,
                    double* out) {
  HWY_DYNAMIC_DISPATCH(scaled_sum_lanes)(base, lambda, sum, count, out);
}

void add_divided_sum(const double* base, double lambda, const double* sum, const double* divisor,
                     const double* witness, std::size_t count, double* out) {
  HWY_DYNAMIC_DISPATCH(divided_sum_lanes)(base, lambda, sum, divisor, witness, count, out);
}

void add_agreeing(const double* values, const double* election, double factor, double weight,
                  std::size_t count, double* sum, double* divisor) {
  HWY_DYNAMIC_DISPATCH(agreeing_lanes)(values, election, factor, weight, count, sum, divisor);
}

double dot(const double* a, const double* b, std::size_t count) {
  double lanes[kMergeSumLanes] = {};
  const std::size_t whole = count - count % kMergeSumLanes;
  HWY_DYNAMIC_DISPATCH(dot_lanes)(a, b, whole, lanes);
  for (std::size_t i = whole; i < count; ++i) lanes[i - whole] += a[i] * b[i];
  return lane_total(lanes);
}

double magnitude_sum(const double* a, std::size_t count) {
  double lanes[kMergeSumLanes] = {};
  const std::size_t whole = count - count % kMergeSumLanes;
  HWY_DYNAMIC_DISPATCH(magnitude_sum_lanes)(a, whole, lanes);
  for (std::size_t i = whole; i < count; ++i) lanes[i - whole] += std::fabs(a[i]);
  return lane_total(lanes);
}

double difference_sum(const double* a, const double* b, std::size_t count) {
  double lanes[kMergeSumLanes] = {};
  const std::size_t whole = count - count % kMergeSumLanes;
  HWY_DYNAMIC_DISPATCH(difference_sum_lanes)(a, b, whole, lanes);
  for (std::size_t i = whole; i < count; ++i) lanes[i - whole] += std::fabs(a[i] - b[i]);
  return lane_total(lanes);
}

void add_elected(const SignElection& election, const double* base, std::size_t count, double* out) {
  HWY_DYNAMIC_DISPATCH(elected_lanes)(election, base, count, out);
}

}  // namespace kilter::ops
#endif  // HWY_ONCE
