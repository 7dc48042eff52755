#include "tensor/layout.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace kilter {
namespace {

using Numbers = std::vector<std::int64_t>;
constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

TEST(Layout, CountsElements) {
  EXPECT_EQ(element_count(Numbers{}).value(), 1U);
  EXPECT_EQ(element_count(Numbers{2, 3, 4}).value(), 24U);
  EXPECT_EQ(element_count(Numbers{5, 0, 4}).value(), 0U);
  EXPECT_EQ(element_count(Numbers{kMost}).value(), static_cast<std::uint64_t>(kMost));
}

TEST(Layout, RefusesShapesThatNoMemoryHolds) {
  const Numbers shapes[] = {{-1}, {1LL << 32, 1LL << 31}, {kMost, 2}, {0, -1}, {1LL << 62, 4, 0}};
  for (const Numbers& shape : shapes) {
    const auto count = element_count(shape);
    ASSERT_FALSE(count) << shape_text(shape);
    EXPECT_EQ(count.error().code, ErrorCode::kMalformed);
    EXPECT_EQ(count.error().found, shape_text(shape));
  }
}

TEST(Layout, RoundsBitsUpToBytes) {
  EXPECT_EQ(contiguous_bytes(DType::kF32, Numbers{2, 3}).value(), 24U);
  EXPECT_EQ(contiguous_bytes(DType::kF4E2M1, Numbers{3}).value(), 2U);
  EXPECT_EQ(contiguous_bytes(DType::kF6E2M3, Numbers{4}).value(), 3U);
  EXPECT_EQ(contiguous_bytes(DType::kF6E2M3, Numbers{5}).value(), 4U);
  EXPECT_EQ(contiguous_bytes(DType::kQU2x4, Numbers{5}).value(), 2U);
  EXPECT_EQ(contiguous_bytes(DType::kC128, Numbers{0}).value(), 0U);
  EXPECT_FALSE(contiguous_bytes(DType::kC128, Numbers{1LL << 60}));
}

TEST(Layout, FindsTheElementsAViewTouches) {
  const auto plain = view_extent(Numbers{2, 3}, Numbers{3, 1}, 4).value();
  EXPECT_EQ(plain->first, 4U);
  EXPECT_EQ(plain->last, 9U);
  const auto backwards = view_extent(Numbers{3, 2}, Numbers{-2, 1}, 4).value();
  EXPECT_EQ(backwards->first, 0U);
  EXPECT_EQ(backwards->last, 5U);
  const auto repeated = view_extent(Numbers{1000}, Numbers{0}, 7).value();
  EXPECT_EQ(repeated->first, 7U);
  EXPECT_EQ(repeated->last, 7U);
  EXPECT_EQ(view_extent(Numbers{}, Numbers{}, 3).value()->last, 3U);
  EXPECT_FALSE(view_extent(Numbers{2, 0}, Numbers{kMost, kMost}, 0).value());
}

TEST(Layout, RefusesViewsThatReachOutOfTheNumbers) {
  EXPECT_FALSE(view_extent(Numbers{2}, Numbers{-1}, 0));
  EXPECT_FALSE(view_extent(Numbers{3}, Numbers{kMost}, 0));
  EXPECT_FALSE(view_extent(Numbers{2}, Numbers{kMost}, 1));
  EXPECT_FALSE(view_extent(Numbers{2, 2}, Numbers{kMost, kMost}, 0));
  EXPECT_FALSE(view_extent(Numbers{3}, Numbers{std::numeric_limits<std::int64_t>::min()}, 0));
  EXPECT_FALSE(view_extent(Numbers{1}, Numbers{1}, std::numeric_limits<std::uint64_t>::max()));
  EXPECT_FALSE(view_extent(Numbers{2, 2}, Numbers{1}, 0));
  EXPECT_FALSE(view_extent(Numbers{-2}, Numbers{1}, 0));
}

TEST(Layout, KnowsContiguousViews) {
  EXPECT_TRUE(is_contiguous(Numbers{}, Numbers{}));
  EXPECT_TRUE(is_contiguous(Numbers{2, 3}, Numbers{3, 1}));
  EXPECT_TRUE(is_contiguous(Numbers{2, 1, 3}, Numbers{3, 99, 1}));
  EXPECT_TRUE(is_contiguous(Numbers{2, 0}, Numbers{5, 7}));
  EXPECT_FALSE(is_contiguous(Numbers{2, 3}, Numbers{1, 2}));
  EXPECT_FALSE(is_contiguous(Numbers{2, 3}, Numbers{4, 1}));
  EXPECT_FALSE(is_contiguous(Numbers{2}, Numbers{0}));
  EXPECT_FALSE(is_contiguous(Numbers{2}, Numbers{1, 1}));
}

TEST(Layout, MergesDimensionsThatOneStrideDescribes) {
  using Dims = std::vector<Dim>;
  EXPECT_EQ(coalesce_dims(Numbers{}, Numbers{}), Dims{});
  EXPECT_EQ(coalesce_dims(Numbers{1, 1}, Numbers{5, 9}), Dims{});
  EXPECT_EQ(coalesce_dims(Numbers{2, 3, 4}, Numbers{12, 4, 1}), (Dims{{24, 1}}));
  EXPECT_EQ(coalesce_dims(Numbers{2, 3, 4}, Numbers{24, 4, 1}), (Dims{{2, 24}, {12, 1}}));
  EXPECT_EQ(coalesce_dims(Numbers{3, 1, 2}, Numbers{1, 0, 3}), (Dims{{3, 1}, {2, 3}}));
  EXPECT_EQ(coalesce_dims(Numbers{4, 5}, Numbers{0, 0}), (Dims{{20, 0}}));
  EXPECT_EQ(coalesce_dims(Numbers{4, 0, 5}, Numbers{1, 1, 1}), (Dims{{0, 0}}));
}

TEST(Layout, WritesShapesForMessages) {
  EXPECT_EQ(shape_text(Numbers{}), "[]");
  EXPECT_EQ(shape_text(Numbers{2, -3}), "[2, -3]");
  EXPECT_EQ(shape_text(Numbers(17, 1)), "[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, …]");
}

}  // namespace
}  // namespace kilter
