#include "base/counter_random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace kilter {
namespace {

// The three rows of philox4x32-10 in Random123's kat_vectors.
TEST(CounterRandom, PhiloxGivesThePublishedNumbers) {
  constexpr std::uint32_t kOnes = 0xFFFFFFFF;
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}),
            (PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}),
            (PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

// Python's statistics.NormalDist().inv_cdf, which knows the same algorithm and another logarithm.
TEST(CounterRandom, QuantilesAreThoseOfTheNormalDistribution) {
  const std::pair<double, double> rows[] = {
      {0.5, 0.0},
      {0.2, -0x1.aee8fa73a1333p-1},
      {0.9, 0x1.4813c36e26d34p+0},
      {0.95, 0x1.a515209676ab8p+0},
      {1e-3, -0x1.8b8cbb7204470p+1},
      {0.999, 0x1.8b8cbb7204470p+1},
      {1e-9, -0x1.7fdc11f44b5a7p+2},
      {0x1p-54, -0x1.095b059d67c4cp+3},
      {1 - 0x1p-53, 0x1.06b48528cea51p+3},
  };
  for (const auto& [p, wanted] : rows)
    EXPECT_NEAR(normal_quantile(p), wanted, 4e-16 * std::fabs(wanted)) << p;
}

TEST(CounterRandom, SeedsNamesAndIndexesTellStreamsApart) {
  const CounterRandom one(7, "model.norm.weight");
  EXPECT_EQ(one.bits(12345), CounterRandom(7, "model.norm.weight").bits(12345));
  std::set<std::uint64_t> seen;
  for (std::uint64_t i = 0; i < 1000; ++i) seen.insert(one.bits(i));
  for (std::uint64_t i = 0; i < 1000; ++i)
    seen.insert(CounterRandom(8, "model.norm.weight").bits(i));
  for (std::uint64_t i = 0; i < 1000; ++i) seen.insert(CounterRandom(7, "lm_head.weight").bits(i));
  seen.insert(one.bits((std::uint64_t{1} << 33) + 1));
  EXPECT_EQ(seen.size(), 3001U);
}

TEST(CounterRandom, MomentsAreThoseOfTheNormalDistribution) {
  constexpr int kCount = 200000;
  const CounterRandom random(1, "w");
  double sum = 0, squares = 0, fourth = 0, uniform = 0;
  for (std::uint64_t i = 0; i < kCount; ++i) {
    const double x = random.normal(i);
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
    uniform += random.uniform(i);
  }
  // Five deviations of each mean.
  EXPECT_NEAR(sum / kCount, 0, 5 / std::sqrt(kCount));
  EXPECT_NEAR(squares / kCount, 1, 5 * std::sqrt(2.0 / kCount));
  EXPECT_NEAR(fourth / kCount, 3, 5 * std::sqrt(96.0 / kCount));
  EXPECT_NEAR(uniform / kCount, 0.5, 5 * std::sqrt(1.0 / 12 / kCount));
}

}  // namespace
}  // namespace kilter
