#include "ops/slim/prune_rule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "ops/slim/linear_names.h"
#include "ops/slim/prune_search.h"

namespace kilter::ops {
namespace {

std::vector<std::uint8_t> decided(const PruneRule& rule, std::uint64_t first,
                                  std::vector<std::uint64_t> keys) {
  std::vector<std::uint8_t> keep(keys.size(), 9);
  rule.decide(first, keys, keep);
  return keep;
}
using Kept = std::vector<std::uint8_t>;

TEST(PruneRule, KeysOrderMagnitudesWithNanAboveAll) {
  const float values[] = {-0.0F,
                          std::numeric_limits<float>::denorm_min(),
                          -0.5F,
                          0.5F,
                          -2.0F,
                          std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::quiet_NaN()};
  std::vector<std::uint64_t> keys(std::size(values));
  magnitude_keys(DType::kF32, std::as_bytes(std::span(values)), keys);
  EXPECT_EQ(keys[0], 0U);
  EXPECT_EQ(keys[2], keys[3]);
  EXPECT_TRUE(std::is_sorted(keys.begin(), keys.end()));
  EXPECT_EQ(magnitude_bits(DType::kBF16), 15U);
  EXPECT_EQ(magnitude_bits(DType::kF64), 63U);
}

TEST(PruneRule, OfEqualOnesThoseBeforeTheCutStay) {
  const ThresholdRule rule(5, 12);
  EXPECT_EQ(decided(rule, 10, {5, 5, 5, 6, 4}), (Kept{1, 1, 0, 1, 0}));
}

TEST(PruneRule, PatternKeepsTheLargestAndOfEqualOnesTheEarlier) {
  const PatternRule rule(2, 4);
  EXPECT_EQ(decided(rule, 0, {1, 9, 3, 9, 7, 7, 7, 7, 0, 0, 1, 0}),
            (Kept{0, 1, 0, 1, 1, 1, 0, 0, 1, 0, 1, 0}));
}

TEST(PruneRule, SlicesRepeat) {
  const SliceRule rule(2, {true, false, true});
  EXPECT_EQ(decided(rule, 1, {0, 0, 0, 0, 0, 0, 0}), (Kept{1, 0, 0, 1, 1, 1, 1}));
}

TEST(PruneRule, SharesRoundHalfToEven) {
  EXPECT_EQ(share_of(0.5, 5), 2U);
  EXPECT_EQ(share_of(0.5, 7), 4U);
  EXPECT_EQ(share_of(0, 7), 0U);
  EXPECT_EQ(share_of(1, 7), 7U);
}

TEST(LinearNames, TellLayersFromWhatLooksLikeThem) {
  const std::vector<std::int64_t> matrix = {4, 8};
  EXPECT_EQ(why_not_linear("model.layers.0.mlp.up_proj.weight", matrix), "");
  EXPECT_EQ(why_not_linear("time_embed.0.weight", matrix), "");
  EXPECT_EQ(why_not_linear("model.layers.0.mlp.gate_proj.weight", matrix), "");
  EXPECT_EQ(why_not_linear("model.layers.0.mlp.gate.weight", matrix), "a router");
  EXPECT_EQ(why_not_linear("model.embed_tokens.weight", matrix), "an embedding");
  EXPECT_EQ(why_not_linear("lm_head.weight", matrix), "the output head");
  EXPECT_EQ(why_not_linear("model.norm.weight", {8}), "no matrix");
  EXPECT_EQ(why_not_linear("lora_A", matrix), "not called X.weight");
}

TEST(LinearNames, EveryRowOfTheTableSaysWhatItIs) {
  for (const NotLinearRow& row : not_linear_table()) {
    EXPECT_FALSE(row.glob.empty());
    EXPECT_FALSE(row.what.empty());
  }
}

}  // namespace
}  // namespace kilter::ops
