#include "tensor/kernels/value_moments.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace kilter {
namespace {

constexpr double kDenormal = std::numeric_limits<double>::denorm_min();

std::vector<double> moment_samples(std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal(3, 2);
  std::vector<double> out(count);
  for (double& value : out) value = random() % 7 == 0 ? 0 : normal(random);
  return out;
}

/// One element after the other; sums in eight lanes, as is promised.
ValueMoments reference(const std::vector<double>& values, double smallest) {
  ValueMoments out;
  if (values.empty()) return out;
  double sum[8] = {}, magnitudes[8] = {}, squares[8] = {}, powers[3][8] = {};
  out.count = values.size();
  out.min = out.max = values[0];
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double x = values[i];
    out.zeros += x == 0 ? 1U : 0U;
    out.subnormals += x != 0 && std::fabs(x) < smallest ? 1U : 0U;
    out.min = std::min(out.min, x);
    out.max = std::max(out.max, x);
    sum[i % 8] += x;
    magnitudes[i % 8] += std::fabs(x);
    squares[i % 8] += x * x;
  }
  const auto total = [](const double(&lanes)[8]) {
    double all = lanes[0];
    for (std::size_t i = 1; i < 8; ++i) all += lanes[i];
    return all;
  };
  out.mean = total(sum) / static_cast<double>(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double x = values[i] - out.mean, square = x * x;
    powers[0][i % 8] += square;
    powers[1][i % 8] += square * x;
    powers[2][i % 8] += square * square;
  }
  out.m2 = total(powers[0]);
  out.m3 = total(powers[1]);
  out.m4 = total(powers[2]);
  out.magnitudes = total(magnitudes);
  out.squares = total(squares);
  return out;
}

void expect_same(const ValueMoments& got, const ValueMoments& wanted) {
  EXPECT_EQ(got.count, wanted.count);
  EXPECT_EQ(got.zeros, wanted.zeros);
  EXPECT_EQ(got.subnormals, wanted.subnormals);
  EXPECT_EQ(got.min, wanted.min);
  EXPECT_EQ(got.max, wanted.max);
  EXPECT_EQ(got.mean, wanted.mean);
  EXPECT_EQ(got.m2, wanted.m2);
  EXPECT_EQ(got.m3, wanted.m3);
  EXPECT_EQ(got.m4, wanted.m4);
  EXPECT_EQ(got.magnitudes, wanted.magnitudes);
  EXPECT_EQ(got.squares, wanted.squares);
}

TEST(ValueMoments, AgreeWithTheReferenceToTheLastBit) {
  for (const std::size_t count : {0U, 1U, 7U, 8U, 9U, 64U, 1023U, 1024U})
    for (const double smallest : {0.0, 0.5})
      expect_same(value_moments(moment_samples(count, count), smallest),
                  reference(moment_samples(count, count), smallest));
}

TEST(ValueMoments, OfPartsAddUpToThoseOfTheWhole) {
  const std::vector<double> values = moment_samples(5000, 1);
  ValueMoments parts;
  for (std::size_t at = 0; at < values.size(); at += 777)
    parts += value_moments(
        std::span(values).subspan(at, std::min<std::size_t>(777, values.size() - at)), 0.1);
  const ValueMoments whole = value_moments(values, 0.1);
  EXPECT_EQ(parts.count, whole.count);
  EXPECT_EQ(parts.subnormals, whole.subnormals);
  EXPECT_NEAR(parts.mean, whole.mean, 1e-12);
  EXPECT_NEAR(parts.m2 / whole.m2, 1, 1e-12);
  EXPECT_NEAR(parts.m3 / whole.m3, 1, 1e-11);
  EXPECT_NEAR(parts.m4 / whole.m4, 1, 1e-12);
}

TEST(ValueMoments, WhatIsNotZeroCountsAsAChannelThatLives) {
  const double tiny[] = {0, 1e-300, 0};
  EXPECT_EQ(sum_squares(tiny), kDenormal);
  const double nothing[] = {0, -0.0};
  EXPECT_EQ(sum_squares(nothing), 0);
  double sums[3] = {1, 0, 2};
  add_squares(tiny, sums);
  EXPECT_EQ(sums[0], 1);
  EXPECT_EQ(sums[1], kDenormal);
}

TEST(ValueMoments, CountWhatIsFinite) {
  const double values[] = {1, NAN, HUGE_VAL, -HUGE_VAL, 0, std::numeric_limits<double>::max()};
  EXPECT_EQ(count_finite(values), 3U);
}

TEST(ValueMoments, BinsAreFloors) {
  const double values[] = {-1, -0.99, -1e-20, 0, 1e-20, 0.49, 0.5, 15.5};
  std::uint32_t indices[8];
  bin_indices(values, 2, -2, indices);
  const std::uint32_t wanted[] = {0, 0, 1, 2, 2, 2, 3, 33};
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(indices[i], wanted[i]) << values[i];
}

TEST(ValueMoments, ExponentsAreTheDoublesOwn) {
  const double values[] = {0, -0.0, 1, -2, 0.75, kDenormal, 1e-310, HUGE_VAL, 3e300};
  std::uint32_t fields[9];
  exponent_fields(values, fields);
  const std::uint32_t wanted[] = {0, 0, 1023, 1024, 1022, 0, 0, 2047, 2021};
  for (std::size_t i = 0; i < 9; ++i) EXPECT_EQ(fields[i], wanted[i]) << values[i];
}

}  // namespace
}  // namespace kilter
