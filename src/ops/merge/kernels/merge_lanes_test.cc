#include "ops/merge/kernels/merge_lanes.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "ops/merge/kernels/selection_lanes.h"

namespace kilter::ops {
namespace {

struct Runs {
  explicit Runs(std::size_t count) : a(count + 8), b(count + 8), random(count), keys(count) {
    std::mt19937_64 engine(count);
    std::normal_distribution<double> normal(0, 1);
    for (std::size_t i = 0; i < count; ++i) {
      b[i] = static_cast<float>(normal(engine));
      a[i] = engine() % 4 == 0 ? b[i] : static_cast<float>(normal(engine));
      random[i] = static_cast<std::uint32_t>(engine());
      keys[i] = static_cast<std::uint32_t>(engine() % 100);
    }
  }
  std::vector<double> a, b;
  std::vector<std::uint32_t> random, keys;
};

constexpr std::size_t kCounts[] = {1, 7, 8, 9, 31, 64, 1000, 1024};

double in_lanes(const std::vector<double>& values) {
  double lanes[8] = {}, out = 0;
  for (std::size_t i = 0; i < values.size(); ++i) lanes[i % 8] += values[i];
  for (const double lane : lanes) out += lane;
  return out;
}

TEST(MergeLanes, SumsAreThoseOfEightLanes) {
  for (const std::size_t count : kCounts) {
    const Runs runs(count);
    std::vector<double> products, sizes, differences, kept;
    for (std::size_t i = 0; i < count; ++i) {
      products.push_back(runs.a[i] * runs.b[i]);
      sizes.push_back(std::fabs(runs.a[i]));
      differences.push_back(std::fabs(runs.a[i] - runs.b[i]));
      kept.push_back(runs.random[i] <= 0x50000000 ? differences[i] : 0);
    }
    EXPECT_EQ(dot(runs.a.data(), runs.b.data(), count), in_lanes(products));
    EXPECT_EQ(magnitude_sum(runs.a.data(), count), in_lanes(sizes));
    EXPECT_EQ(difference_sum(runs.a.data(), runs.b.data(), count), in_lanes(differences));
    const KeptSums sums =
        kept_sums(runs.a.data(), runs.b.data(), runs.random.data(), 0x50000000, count);
    EXPECT_EQ(sums.all, in_lanes(differences));
    EXPECT_EQ(sums.kept, in_lanes(kept));
  }
}

TEST(MergeLanes, AWindowIsCollectedInOrder) {
  for (const std::size_t count : kCounts) {
    const Runs runs(count);
    std::vector<std::uint32_t> offsets(count + 64), keys(count + 64), wanted;
    std::uint64_t above = 5, beyond = 5;
    for (std::size_t i = 0; i < count; ++i) {
      if (runs.keys[i] >= 20 && runs.keys[i] <= 60) wanted.push_back(static_cast<std::uint32_t>(i));
      beyond += runs.keys[i] > 60 ? 1U : 0U;
    }
    const std::size_t found =
        collect_window(runs.keys.data(), count, 20, 60, &above, offsets.data(), keys.data());
    ASSERT_EQ(found, wanted.size());
    EXPECT_EQ(above, beyond);
    for (std::size_t i = 0; i < found; ++i) {
      EXPECT_EQ(offsets[i], wanted[i]);
      EXPECT_EQ(keys[i], runs.keys[wanted[i]]);
    }
  }
}

TEST(MergeLanes, RanksKeepTheSameOnBothWays) {
  for (const std::size_t count : kCounts) {
    const Runs runs(count);
    for (const bool wide : {false, true}) {
      std::vector<std::uint32_t> keys(count);
      delta_keys(runs.a.data(), runs.b.data(), count, wide, keys.data());
      const RankCut bottom{keys[count / 2], 1000 + count / 3}, top{keys[count / 4], 1001};
      std::vector<double> fused = runs.a, apart = runs.a;
      subtract_between(runs.b.data(), wide, 1000, count, bottom, top, fused.data());
      subtract(runs.b.data(), count, apart.data());
      keep_between(keys.data(), 1000, count, bottom, top, apart.data());
      EXPECT_EQ(fused, apart);
      for (std::size_t i = 0; i < count; ++i) {
        const auto before = [&](const RankCut& cut) {
          return keys[i] > cut.key || (keys[i] == cut.key && 1000 + i < cut.tie_end);
        };
        const double kept = before(bottom) && !before(top) ? runs.a[i] - runs.b[i] : 0;
        ASSERT_EQ(apart[i], kept) << count << " " << i;
      }
    }
  }
}

TEST(MergeLanes, KeysOrderMagnitudesAndPutNanFirst) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<double> values = {-0.0, 1e-300, -1e-40, 0.5, -0.75, 1e300, -inf, -nan};
  std::vector<std::uint32_t> keys(values.size());
  magnitude_keys(values.data(), values.size(), keys.data());
  EXPECT_EQ(keys[0], keys[1]);  // too small for binary32
  for (std::size_t i = 2; i < 6; ++i) EXPECT_LT(keys[i - 1], keys[i]) << i;
  EXPECT_EQ(keys[5], keys[6]);
  EXPECT_LT(keys[6], keys[7]);
}

}  // namespace
}  // namespace kilter::ops
