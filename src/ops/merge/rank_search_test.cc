#include "ops/merge/rank_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

namespace kilter::ops {
namespace {

using Keys = std::vector<std::uint32_t>;

/// By sorting everything.
RankCut plain_cut(const Keys& keys, std::uint64_t rank) {
  if (rank == 0) return kCutNone;
  std::vector<std::uint64_t> order(keys.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](auto a, auto b) { return keys[a] > keys[b]; });
  const std::uint64_t last = order[rank - 1];
  return {keys[last], last + 1};
}

/// Which elements are above.
std::vector<bool> kept(const Keys& keys, const RankCut& cut) {
  std::vector<bool> out(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i)
    out[i] = keys[i] > cut.key || (keys[i] == cut.key && i < cut.tie_end);
  return out;
}

struct SearchRun {
  RankCut cut;
  int passes = 0;
};

SearchRun search(const Keys& keys, std::uint64_t rank, std::uint64_t memory, Keys sample = {}) {
  RankSearch search(rank, keys.size(), memory);
  search.guess(sample);
  const auto read = [&](std::uint64_t first, std::size_t count) -> Result<Keys> {
    return Keys(keys.begin() + static_cast<std::ptrdiff_t>(first),
                keys.begin() + static_cast<std::ptrdiff_t>(first + count));
  };
  SearchRun run;
  EXPECT_TRUE(search.advance(read).has_value());
  for (; !search.done() && run.passes < 9; ++run.passes) {
    for (std::size_t at = 0; at < keys.size(); at += kStudyBlockElements)
      search.add(at, std::span(keys).subspan(
                         at, std::min<std::size_t>(kStudyBlockElements, keys.size() - at)));
    EXPECT_TRUE(search.advance(read).has_value());
  }
  run.cut = search.cut();
  return run;
}

Keys random_keys(std::size_t count, std::uint32_t values, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Keys out(count);
  for (std::uint32_t& key : out)
    key = static_cast<std::uint32_t>(random() % values) + (values < 1000 ? 0x3F000000U : 0U);
  return out;
}

TEST(RankSearch, KeepsWhatSortingKeeps) {
  for (const std::uint32_t values : {2U, 50U, 0x7FFFFFFFU}) {
    const Keys keys = random_keys(150000, values, values);
    for (const std::uint64_t rank : {1U, 777U, 75000U, 149999U, 150000U}) {
      for (const std::uint64_t memory : {1U << 12, 1U << 24}) {
        const SearchRun run = search(keys, rank, memory);
        EXPECT_EQ(kept(keys, run.cut), kept(keys, plain_cut(keys, rank)))
            << values << " " << rank << " " << memory;
      }
    }
  }
}

TEST(RankSearch, AGoodSampleMakesOnePassDo) {
  const Keys keys = random_keys(300000, 0x7FFFFFFF, 5);
  const Keys sample(keys.begin() + 5000, keys.begin() + 21384);
  for (const std::uint64_t rank : {1000U, 100000U, 299000U}) {
    const SearchRun run = search(keys, rank, 1U << 24, sample);
    EXPECT_EQ(run.passes, 1);
    EXPECT_EQ(run.cut, plain_cut(keys, rank));
  }
}

TEST(RankSearch, AMisleadingSampleChangesNothing) {
  const Keys keys = random_keys(200000, 0x7FFFFFFF, 6);
  for (const std::uint32_t value : {0U, 0x7FFFFFFFU, 0x12345678U}) {
    const SearchRun run = search(keys, 100000, 1U << 24, Keys(5000, value));
    EXPECT_EQ(kept(keys, run.cut), kept(keys, plain_cut(keys, 100000)));
  }
}

TEST(RankSearch, NothingAndEverything) {
  const Keys keys = random_keys(1000, 100, 7);
  EXPECT_EQ(search(keys, 0, 1U << 20).cut, kCutNone);
  EXPECT_EQ(search(keys, 1001, 1U << 20).cut, kCutAll);
}

}  // namespace
}  // namespace kilter::ops
