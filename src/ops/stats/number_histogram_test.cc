#include "ops/stats/number_histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace kilter::ops {
namespace {

void add(NumberHistogram& histogram, std::span<const double> values) {
  const auto [min, max] = std::ranges::minmax(values);
  histogram.add(values, min, max);
}

ValueHistogram of(std::span<const double> values) {
  NumberHistogram histogram;
  add(histogram, values);
  return histogram.result();
}

void expect_counts(const ValueHistogram& got, std::span<const double> values) {
  std::vector<std::uint64_t> counts(got.counts.size());
  for (const double value : values)
    ++counts.at(static_cast<std::size_t>(std::floor(value / got.width) - got.first / got.width));
  EXPECT_EQ(got.counts, counts) << values[0];
}

TEST(NumberHistogram, DoesNotDependOnOrderOrGrouping) {
  std::mt19937_64 random(9);
  std::normal_distribution<double> normal;
  std::vector<double> values(10'000);
  for (double& value : values)
    value = std::ldexp(normal(random), static_cast<int>(random() % 30) - 20);
  const ValueHistogram whole = of(values);
  EXPECT_GT(whole.counts.size(), 32U);
  EXPECT_LE(whole.counts.size(), 64U);
  expect_counts(whole, values);
  for (const std::size_t step : {1U, 13U, 1024U, 5000U}) {
    NumberHistogram in_order, merged;
    for (std::size_t at = 0; at < values.size(); at += step) {
      const auto part = std::span(values).subspan(at, std::min(step, values.size() - at));
      NumberHistogram one;
      add(one, part);
      add(in_order, part);
      merged.add(one);
    }
    for (const NumberHistogram* histogram : {&in_order, &merged}) {
      EXPECT_EQ(histogram->result().counts, whole.counts) << step;
      EXPECT_EQ(histogram->result().first, whole.first);
      EXPECT_EQ(histogram->result().width, whole.width);
    }
  }
}

TEST(NumberHistogram, TakesAwkwardRanges) {
  constexpr double kMax = std::numeric_limits<double>::max();
  constexpr double kTiny = std::numeric_limits<double>::denorm_min();
  const std::vector<std::vector<double>> cases = {
      {0},        {0, 0, -0.0},     {1, 1, 1},     {-kMax / 4, kMax / 4}, {kTiny, 0, -kTiny},
      {1, 1e300}, {-1e-300, 1e300}, {3, 3 + 1e-9}, {kMax, kMax * 0.99},   {-0.5, -1e-20, 1e-20}};
  for (const std::vector<double>& values : cases) {
    const ValueHistogram got = of(values);
    std::uint64_t total = 0;
    for (const std::uint64_t count : got.counts) total += count;
    EXPECT_EQ(total, values.size()) << values[0];
    EXPECT_GT(got.counts.front(), 0U);
    EXPECT_GT(got.counts.back(), 0U);
    expect_counts(got, values);
  }
  EXPECT_TRUE(NumberHistogram().result().counts.empty());
}

}  // namespace
}  // namespace kilter::ops
