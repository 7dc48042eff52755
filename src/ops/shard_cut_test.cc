#include "ops/shard_cut.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kilter::ops {
namespace {

using ::testing::HasSubstr;

TensorIndex index_of(const std::vector<std::pair<std::string, std::vector<std::int64_t>>>& shapes) {
  TensorIndex index;
  for (const auto& [name, shape] : shapes) {
    TensorInfo tensor;
    tensor.name = name;
    tensor.shape = shape;
    tensor.strides = contiguous_strides(shape);
    index.tensors.push_back(std::move(tensor));
  }
  return index;
}

TEST(ShardCut, CutsAsTorchChunkDoes) {
  ReshardOptions options;
  options.ranks = 4;
  const auto cut = cut_tensors(index_of({{"w", {10, 3}}, {"b", {2}}}), options);
  ASSERT_TRUE(cut.has_value());
  std::vector<std::int64_t> rows;
  for (const ShardPiece& piece : cut->pieces)
    if (piece.tensor == 0) rows.push_back(piece.view.shape[0]);
  EXPECT_EQ(rows, (std::vector<std::int64_t>{3, 3, 3, 1}));
  EXPECT_EQ(cut->tensors[1].pieces, 2U);  // ranks 2 and 3 have none
  EXPECT_EQ(cut->rank_bytes, (std::vector<std::uint64_t>{40, 40, 36, 12}));
}

TEST(ShardCut, GivesWholeTensorsToTheRankThatHasLeast) {
  ReshardOptions options;
  options.ranks = 2;
  options.rules = {{"*", std::nullopt}};
  const auto cut = cut_tensors(index_of({{"a", {4}}, {"b", {9}}, {"c", {4}}}), options);
  ASSERT_TRUE(cut.has_value());
  EXPECT_EQ(cut->rank_bytes, (std::vector<std::uint64_t>{36, 32}));
}

TEST(ShardCut, KeepsScalarsAndPackedElementsWhole) {
  TensorIndex index = index_of({{"scalar", {}}, {"packed", {5, 3}}, {"none", {0, 4}}});
  index.tensors[1].dtype = DType::kF4E2M1;
  ReshardOptions options;
  options.ranks = 5;  // a row of three: a byte and a half
  const auto cut = cut_tensors(index, options);
  ASSERT_TRUE(cut.has_value());
  for (const auto& row : cut->tensors) {
    EXPECT_FALSE(row.dim.has_value()) << row.name;
    EXPECT_FALSE(row.reason.empty()) << row.name;
  }
}

TEST(ShardCut, RefusesRulesAndRanksThatDoNotFit) {
  ReshardOptions options;
  options.ranks = 2;
  options.rules = {{"w", 2}};
  const auto far = cut_tensors(index_of({{"w", {4, 4}}}), options);
  ASSERT_FALSE(far.has_value());
  EXPECT_EQ(far.error().tensor, "w");
  options.rules = {{"*", 0}, {"w", 1}};
  const auto unused = cut_tensors(index_of({{"w", {4, 4}}}), options);
  ASSERT_FALSE(unused.has_value());
  EXPECT_THAT(unused.error().text(), HasSubstr("matches no tensor"));
  options.rules.clear();
  options.ranks = 0;
  EXPECT_FALSE(cut_tensors(index_of({{"w", {4}}}), options).has_value());
}

}  // namespace
}  // namespace kilter::ops
