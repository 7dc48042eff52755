#include "base/checked.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

namespace kilter {
namespace {

constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();

TEST(Checked, AddsAndMultipliesUntilTheTypeEnds) {
  EXPECT_EQ(checked_add<std::uint64_t>(kMost - 1, 1), kMost);
  EXPECT_FALSE(checked_add<std::uint64_t>(kMost, 1));
  EXPECT_EQ(checked_mul<std::uint64_t>(1ULL << 32U, (1ULL << 32U) - 1), kMost - (1ULL << 32U) + 1);
  EXPECT_FALSE(checked_mul<std::uint64_t>(1ULL << 32U, 1ULL << 32U));
  EXPECT_FALSE(checked_mul<std::int64_t>(std::numeric_limits<std::int64_t>::min(), -1));
}

TEST(Checked, FitsRangesWithoutOverflow) {
  EXPECT_TRUE(range_fits(0, 0, 0));
  EXPECT_TRUE(range_fits(8, 2, 10));
  EXPECT_FALSE(range_fits(8, 3, 10));
  EXPECT_FALSE(range_fits(11, 0, 10));
  EXPECT_FALSE(range_fits(8, kMost, 10));
  EXPECT_FALSE(range_fits(kMost, 2, 10));
}

TEST(Checked, RoundsUpToMultiples) {
  EXPECT_EQ(round_up(0, 64), 0U);
  EXPECT_EQ(round_up(1, 64), 64U);
  EXPECT_EQ(round_up(64, 64), 64U);
}

}  // namespace
}  // namespace kilter
