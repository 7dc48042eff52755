#include "formats/dcp/state_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/dcp/flatten.h"

namespace kilter::dcp {
namespace {

using ::testing::ElementsAre;

StateId number(std::int64_t value, StateTree* tree) {
  StateNode node;
  node.kind = StateKind::kInt;
  node.integer = value;
  return tree->add(std::move(node));
}

PathPart key(std::string text) { return {std::move(text), std::nullopt}; }
PathPart at(std::int64_t position) { return {"", position}; }

std::vector<std::string> names(const StateTree& tree) {
  std::vector<std::string> out;
  const auto leaves = flatten_state(tree);
  EXPECT_TRUE(leaves.has_value());
  for (const FlatLeaf& leaf : *leaves) out.push_back(leaf.fqn);
  return out;
}

TEST(StateBuilder, MakesListsOfPositionsAndFillsHoles) {
  StateTree tree;
  const StateId root = build_state(
      {{{key("a"), at(2)}, number(7, &tree)}, {{key("a"), at(0)}, number(5, &tree)}}, &tree);
  const StateNode& list = tree[tree.find(root, "a")];
  ASSERT_EQ(list.kind, StateKind::kList);
  ASSERT_EQ(list.items.size(), 3U);
  EXPECT_EQ(tree[list.items[0]].integer, 5);
  EXPECT_EQ(tree[list.items[1]].kind, StateKind::kNone);
  EXPECT_EQ(tree[list.items[2]].integer, 7);
}

TEST(StateBuilder, KeepsFarAndMixedPositionsAsKeys) {
  StateTree tree;
  const StateId root = build_state({{{key("far"), at(std::int64_t{1} << 60)}, number(1, &tree)},
                                    {{key("mixed"), at(0)}, number(2, &tree)},
                                    {{key("mixed"), key("x")}, number(3, &tree)},
                                    {{key("minus"), at(-1)}, number(4, &tree)}},
                                   &tree);
  for (const char* name : {"far", "mixed", "minus"})
    EXPECT_EQ(tree[tree.find(root, name)].kind, StateKind::kDict) << name;
}

TEST(StateBuilder, KeepsTheFirstOfTwoValuesInOnePlace) {
  StateTree tree;
  const StateId root = build_state({{{key("a")}, number(1, &tree)},
                                    {{key("a")}, number(2, &tree)},
                                    {{key("a"), key("b")}, number(3, &tree)}},
                                   &tree);
  EXPECT_EQ(tree[tree.find(root, "a")].integer, 1);
}

TEST(Flatten, NamesWhatTorchWouldName) {
  StateTree tree;
  StateNode list;  // of numbers: one value
  list.kind = StateKind::kList;
  list.items = {number(1, &tree), number(2, &tree)};
  const StateId numbers = tree.add(std::move(list));
  tree.set_root(build_state({{{key("lr")}, number(3, &tree)},
                             {{key("betas")}, numbers},
                             {{key("groups"), at(0), key("lr")}, number(4, &tree)}},
                            &tree));
  EXPECT_THAT(names(tree), ElementsAre("lr", "betas", "groups.0.lr"));
}

TEST(Flatten, CutsCyclesAndMakesNamesUnique) {
  StateTree tree;
  StateNode tensor;
  tensor.kind = StateKind::kTensor;
  const StateId leaf = tree.add(std::move(tensor));
  StateNode list;
  list.kind = StateKind::kList;
  list.items = {leaf};
  const StateId loop = tree.add(std::move(list));
  tree[loop].items.push_back(loop);
  tree.set_root(build_state({{{key("a")}, loop},
                             {{key("b.c")}, number(1, &tree)},
                             {{key("b"), key("c")}, number(2, &tree)}},
                            &tree));
  EXPECT_THAT(names(tree), ElementsAre("a.0", "b.c", "b.c#2"));
}

}  // namespace
}  // namespace kilter::dcp
