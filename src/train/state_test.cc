#include "kilter/state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "train/state_path.h"

namespace kilter {
namespace {

TEST(States, BuildDictionariesOnTheWay) {
  State state;
  std::array<float, 4> values{};
  ASSERT_TRUE(state.tensor({"model", "layer", "w"}, {DType::kF32, {4}, values.data()}));
  ASSERT_TRUE(state.set({"model", "name"}, "tiny"));
  ASSERT_TRUE(state.set({"step"}, std::int64_t{3}));
  const StateTree tree = state.capture();
  EXPECT_EQ(tree[tree.find_path({"model", "name"})].text, "tiny");
  EXPECT_EQ(tree[tree.find_path({"step"})].integer, 3);
  const auto places = train::tensor_places(tree, tree.root());
  ASSERT_EQ(places.size(), 1U);
  EXPECT_EQ(train::path_text(places[0].path), "model/layer/w");
}

TEST(States, RefuseAPathThroughAValue) {
  State state;
  ASSERT_TRUE(state.set({"a"}, 1.5));
  EXPECT_FALSE(state.set({"a", "b"}, 1.5));
  EXPECT_FALSE(state.set({}, 1.5));
  ASSERT_TRUE(state.set({"d", "x"}, 1.5));
  EXPECT_FALSE(state.set({"d"}, 1.5));
}

TEST(States, SettingAgainReplaces) {
  State state;
  double bound = 1;
  ASSERT_TRUE(state.bind({"a"}, bound));
  ASSERT_TRUE(state.set({"a"}, std::int64_t{7}));
  bound = 2;
  const StateTree tree = state.capture();
  EXPECT_EQ(tree[tree.find_path({"a"})].kind, StateKind::kInt);
}

TEST(States, BoundValuesAreTakenAndGivenBack) {
  State state;
  std::int64_t count = 5;
  double rate = std::nan("");
  bool warm = true;
  std::string note = "x";
  ASSERT_TRUE(state.bind({"n", "count"}, count));
  ASSERT_TRUE(state.bind({"n", "rate"}, rate));
  ASSERT_TRUE(state.bind({"warm"}, warm));
  ASSERT_TRUE(state.bind({"note"}, note));
  const StateTree saved = state.capture();
  count = 0;
  rate = 0;
  warm = false;
  note.clear();
  ASSERT_TRUE(state.release(saved, saved.root()));
  EXPECT_EQ(count, 5);
  EXPECT_TRUE(std::isnan(rate));
  EXPECT_TRUE(warm);
  EXPECT_EQ(note, "x");
}

TEST(States, GivingBackWhatDoesNotFitChangesNothing) {
  State saved;
  ASSERT_TRUE(saved.set({"count"}, "many"));
  ASSERT_TRUE(saved.set({"bytes"}, "text"));
  State state;
  std::int64_t count = 5, more = 6;
  std::array<std::byte, 4> bytes{};
  ASSERT_TRUE(state.bind({"more"}, more));
  ASSERT_TRUE(state.bind({"count"}, count));
  ASSERT_TRUE(state.bind({"bytes"}, bytes));
  const auto given = state.release(saved.tree(), saved.tree().root());
  ASSERT_FALSE(given);
  EXPECT_THAT(given.error().message,
              testing::AllOf(testing::HasSubstr("more: missing"),
                             testing::HasSubstr("count: an integer expected"),
                             testing::HasSubstr("bytes: 4 bytes expected")));
  EXPECT_EQ(count, 5);
}

}  // namespace
}  // namespace kilter
