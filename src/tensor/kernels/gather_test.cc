#include "tensor/kernels/gather.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

namespace kilter {
namespace {

using Numbers = std::vector<std::int64_t>;

/// A view in a storage of its own, just large enough.
struct View {
  Numbers shape, strides;
  std::uint64_t offset = 0;
};

/// Gathers by the definition alone: every index of the shape, outermost slowest.
std::vector<std::byte> by_definition(const View& view, std::uint32_t element,
                                     const std::vector<std::byte>& storage) {
  std::vector<std::byte> out;
  Numbers index(view.shape.size(), 0);
  if (std::find(view.shape.begin(), view.shape.end(), 0) != view.shape.end()) return out;
  while (true) {
    auto at = static_cast<std::int64_t>(view.offset);
    for (std::size_t i = 0; i < index.size(); ++i) at += index[i] * view.strides[i];
    const auto begin = storage.begin() + at * std::ptrdiff_t{element};
    out.insert(out.end(), begin, begin + element);
    std::size_t i = index.size();
    while (i > 0 && ++index[i - 1] == view.shape[i - 1]) index[--i] = 0;
    if (i == 0) return out;
  }
}

void check(const View& view, std::uint32_t element, std::mt19937& random) {
  const auto extent = view_extent(view.shape, view.strides, view.offset);
  ASSERT_TRUE(extent);
  std::vector<std::byte> storage((*extent ? (*extent)->last + 1 : 0) * element);
  for (std::byte& byte : storage) byte = static_cast<std::byte>(random());
  const auto expected = by_definition(view, element, storage);

  const auto gather = Gather::make(view.shape, view.strides, element);
  ASSERT_TRUE(gather) << gather.error().text();
  const std::uint64_t count = gather->element_count();
  ASSERT_EQ(count * element, expected.size());
  const std::byte* base = storage.data() + view.offset * element;
  for (int round = 0; round < 6; ++round) {
    const std::uint64_t first = round == 0 ? 0 : random() % (count + 1);
    const std::uint64_t length = round == 0 ? count : random() % (count - first + 1);
    std::vector<std::byte> found(length * element), reference(length * element);
    gather->run(base, first, length, found.data());
    gather->run_reference(base, first, length, reference.data());
    const auto begin = expected.begin() + static_cast<std::ptrdiff_t>(first * element);
    ASSERT_TRUE(std::equal(found.begin(), found.end(), begin))
        << shape_text(view.shape) << " by " << shape_text(view.strides) << " of " << element
        << " bytes, " << first << " + " << length;
    ASSERT_EQ(found, reference);
  }
}

TEST(Gather, FollowsTheDefinitionForChosenViews) {
  std::mt19937 random(1);
  const View views[] = {
      {{}, {}, 3},                              // a scalar
      {{5}, {1}, 2},                            // contiguous
      {{1, 1, 1}, {7, 7, 7}, 0},                // only dimensions of 1
      {{0, 5}, {5, 1}, 0},                      // no elements
      {{37, 53}, {1, 37}, 0},                   // transposed
      {{200, 130}, {1, 200}, 1},                // transposed, several strips
      {{3, 70, 90}, {6300, 1, 70}, 0},          // transposed within planes
      {{20, 5, 30}, {1, 600, 20}, 0},           // its rows' stride outermost
      {{16, 3, 4, 33}, {1, 2112, 528, 16}, 0},  // reversed in part
      {{1000, 3}, {1, 1000}, 0},                // tall
      {{3, 1000}, {1, 3}, 0},                   // wide
      {{10, 7}, {20, 2}, 3},                    // every second column
      {{10, 7}, {2, 20}, 3},                    // transposed with gaps
      {{4, 6}, {0, 1}, 5},                      // broadcast rows
      {{4, 6}, {1, 0}, 5},                      // broadcast columns
      {{6, 5}, {-5, 1}, 25},                    // rows backwards
      {{33, 40}, {-1, 33}, 32},                 // transposed, backwards
      {{9, 9}, {1, 1}, 0},                      // overlapping windows
  };
  for (const View& view : views) {
    for (const std::uint32_t element : {1U, 2U, 4U, 8U, 16U}) check(view, element, random);
  }
}

TEST(Gather, FollowsTheDefinitionForRandomPermutationsAndGaps) {
  std::mt19937 random(2);
  for (int round = 0; round < 300; ++round) {
    const std::size_t rank = random() % 6;
    View view;
    Numbers order;
    for (std::size_t i = 0; i < rank; ++i) {
      view.shape.push_back(static_cast<std::int64_t>(1 + random() % (rank > 3 ? 5 : 24)));
      order.push_back(static_cast<std::int64_t>(i));
    }
    std::shuffle(order.begin(), order.end(), random);
    view.strides.resize(rank);
    std::int64_t stride = random() % 4 == 0 ? 2 : 1;
    for (const std::int64_t i : order) {
      const auto at = static_cast<std::size_t>(i);
      const bool backwards = random() % 8 == 0;
      view.strides[at] = backwards ? -stride : stride;
      if (backwards) view.offset += static_cast<std::uint64_t>((view.shape[at] - 1) * stride);
      stride = stride * view.shape[at] + (random() % 3 == 0 ? 1 : 0);
    }
    check(view, 1U << random() % 5, random);
  }
}

TEST(Gather, KnowsWhenAPlainCopyDoes) {
  EXPECT_TRUE(Gather::make(Numbers{2, 3}, Numbers{3, 1}, 4)->contiguous());
  EXPECT_TRUE(Gather::make(Numbers{}, Numbers{}, 4)->contiguous());
  EXPECT_TRUE(Gather::make(Numbers{0, 9}, Numbers{1, 1}, 4)->contiguous());
  EXPECT_FALSE(Gather::make(Numbers{2, 3}, Numbers{1, 2}, 4)->contiguous());
}

TEST(Gather, RefusesWhatItCannotCopy) {
  EXPECT_EQ(Gather::make(Numbers{2}, Numbers{1}, 3).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(Gather::make(Numbers{2}, Numbers{1}, 0).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(Gather::make(Numbers{-2}, Numbers{1}, 4).error().code, ErrorCode::kMalformed);
  EXPECT_EQ(Gather::make(Numbers{2, 2}, Numbers{1}, 4).error().code, ErrorCode::kMalformed);
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  EXPECT_FALSE(Gather::make(Numbers{3}, Numbers{most}, 4));
  EXPECT_FALSE(Gather::make(Numbers{3}, Numbers{-most}, 4));
}

}  // namespace
}  // namespace kilter
