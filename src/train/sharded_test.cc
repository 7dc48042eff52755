#include "kilter/sharded.h"

#include <cstring>
#include <numeric>

#include "kilter/store.h"

#include "train/train_test_support.h"

namespace kilter {
namespace {

using train::test::Scratch;

/// Rows [first, first + count) of a matrix of `columns`, each element its number in the whole.
std::vector<float> rows_of(std::int64_t first, std::int64_t count, std::int64_t columns) {
  std::vector<float> out(static_cast<std::size_t>(count * columns));
  std::iota(out.begin(), out.end(), static_cast<float>(first * columns));
  return out;
}

std::size_t number_of(const Checkpoint& checkpoint, const std::string& name) {
  const auto found = checkpoint.data().index.find(name);
  EXPECT_TRUE(found) << name;
  return found.value_or(0);
}

TEST(ShardedSavers, MakeOneStepOfTheirParts) {
  Scratch scratch;
  const std::string address = scratch / "runs.kilter";
  constexpr std::int64_t kRows = 3000, kColumns = 500;
  std::vector<std::string> parts;
  std::vector<ShardedSaver> ranks;
  for (unsigned rank = 0; rank < 4; ++rank) {
    auto saver = ShardedSaver::open(address);
    ASSERT_TRUE(saver) << saver.error().text();
    ranks.push_back(std::move(*saver));
    std::vector<float> mine = rows_of(static_cast<std::int64_t>(rank) * kRows, kRows, kColumns);
    std::vector<float> small(10, static_cast<float>(rank));
    auto part = ranks.back().write(
        rank, {{"w@" + std::to_string(rank * kRows), {DType::kF32, {kRows, kColumns}, mine.data()}},
               {"bias", {DType::kF32, {10}, small.data()}}});
    ASSERT_TRUE(part) << part.error().text();
    parts.push_back(*part);
    // Nothing is to be seen before all is there.
    EXPECT_TRUE(Store::open(address)->log()->empty());
  }
  const auto saved = ranks[0].commit(70, parts, {{"layout.json", "{}"}}, {{"loss", 2.5}});
  ASSERT_TRUE(saved) << saved.error().text();

  const auto store = Store::open(address);
  const auto checkpoint = store->open_checkpoint("step:70");
  ASSERT_TRUE(checkpoint) << checkpoint.error().text();
  // Columns 100 to 400 of rows 2990 to 3010, which two ranks have, into a transposed matrix.
  std::vector<float> box(20 * 300, -1);
  std::vector<BoxTarget> targets;
  for (std::int64_t half = 0; half < 2; ++half) {
    BoxTarget target;
    target.number = number_of(
        *checkpoint, "rank-0000" + std::to_string(half) + ".w@" + std::to_string(half * kRows));
    target.offsets = {half == 0 ? 2990 : 0, 100};
    target.target = {DType::kF32, {10, 300}, box.data() + half * 10, {1, 20}};
    targets.push_back(target);
  }
  const auto read = load_boxes(*checkpoint, targets);
  ASSERT_TRUE(read) << read.error().text();
  for (std::int64_t row = 0; row < 20; ++row)
    for (std::int64_t column = 0; column < 300; ++column)
      ASSERT_EQ(box[static_cast<std::size_t>(column * 20 + row)],
                static_cast<float>((2990 + row) * kColumns + 100 + column));
  EXPECT_TRUE(store->check({.data = true}).value().faults.empty());
}

TEST(ShardedSavers, RefuseAPartOfAnotherStore) {
  Scratch scratch;
  std::vector<float> values(5000, 1);
  auto here = ShardedSaver::open(scratch / "a.kilter");
  auto there = ShardedSaver::open(scratch / "b.kilter");
  const auto part = there->write(0, {{"w", {DType::kF32, {5000}, values.data()}}});
  ASSERT_TRUE(part);
  const auto saved = here->commit(1, {*part});
  ASSERT_FALSE(saved);
  EXPECT_EQ(saved.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(saved.error().text(), testing::HasSubstr("one store"));
}

TEST(ShardedSavers, APartSurvivesCollectorsUntilItIsReleased) {
  Scratch scratch;
  const std::string address = scratch / "a.kilter";
  std::vector<float> values(2'000'000, 1);
  auto saver = ShardedSaver::open(address);
  const auto part = saver->write(0, {{"w", {DType::kF32, {2'000'000}, values.data()}}});
  ASSERT_TRUE(part);
  auto store = Store::open(address);
  ASSERT_TRUE(store->collect());
  ASSERT_TRUE(store->collect());
  ASSERT_TRUE(saver->commit(1, {*part}));
  EXPECT_EQ(store->read_tensor("step:1", "w")->size(), 8'000'000U);
}

TEST(LoadBoxes, RefuseWhatReachesOut) {
  Scratch scratch;
  std::vector<float> values(5000, 1);
  auto saver = ShardedSaver::open(scratch / "a.kilter");
  ASSERT_TRUE(
      saver->commit(1, {*saver->write(0, {{"w", {DType::kF32, {50, 100}, values.data()}}})}));
  const auto checkpoint = Store::open(scratch / "a.kilter")->open_checkpoint("main");
  ASSERT_TRUE(checkpoint);
  const LiveTensor target{DType::kF32, {10, 100}, values.data()};
  EXPECT_TRUE(load_boxes(*checkpoint, {{0, {40, 0}, target}}));
  EXPECT_FALSE(load_boxes(*checkpoint, {{0, {41, 0}, target}}));
  EXPECT_FALSE(load_boxes(*checkpoint, {{0, {0, 1}, target}}));
  EXPECT_FALSE(load_boxes(*checkpoint, {{0, {-1, 0}, target}}));
  EXPECT_FALSE(load_boxes(*checkpoint, {{1, {0, 0}, target}}));
  EXPECT_FALSE(load_boxes(*checkpoint, {{0, {0}, target}}));
}

}  // namespace
}  // namespace kilter
