#include "kilter/state_tree.h"

#include <gtest/gtest.h>

namespace kilter {
namespace {

StateId add_text(StateTree& tree, std::string text) {
  StateNode node;
  node.kind = StateKind::kString;
  node.text = std::move(text);
  return tree.add(std::move(node));
}

StateId add_int(StateTree& tree, std::int64_t value) {
  StateNode node;
  node.kind = StateKind::kInt;
  node.integer = value;
  return tree.add(std::move(node));
}

StateId add_dict(StateTree& tree, std::vector<StateId> items) {
  StateNode node;
  node.kind = StateKind::kDict;
  node.items = std::move(items);
  return tree.add(std::move(node));
}

TEST(StateTree, FindsByStringKeyAndTheLastOneHolds) {
  StateTree tree;
  const StateId first = add_int(tree, 1);
  const StateId second = add_int(tree, 2);
  const StateId other_key = add_int(tree, 7);
  const StateId dict =
      add_dict(tree, {add_text(tree, "a"), first, other_key, first, add_text(tree, "a"), second});
  EXPECT_EQ(tree.find(dict, "a"), second);
  EXPECT_EQ(tree.find(dict, "b"), kNoState);
  EXPECT_EQ(tree.find(first, "a"), kNoState);
  EXPECT_EQ(tree.find(kNoState, "a"), kNoState);
}

TEST(StateTree, FollowsPathsThroughObjectsThatActAsDicts) {
  StateTree tree;
  const StateId leaf = add_int(tree, 5);
  StateNode ordered;
  ordered.kind = StateKind::kObject;
  ordered.text = "collections.OrderedDict";
  ordered.extra = add_dict(tree, {add_text(tree, "step"), leaf});
  const StateId object = tree.add(ordered);
  tree.set_root(add_dict(tree, {add_text(tree, "state"), object}));
  EXPECT_EQ(tree.find_path({"state", "step"}), leaf);
  EXPECT_EQ(tree.find_path({"state", "absent", "step"}), kNoState);
  EXPECT_EQ(tree.find_path({}), tree.root());
}

TEST(StateTree, SurvivesACycleAndADanglingKey) {
  StateTree tree;
  const StateId key = add_text(tree, "self");
  const StateId dict = add_dict(tree, {});
  tree[dict].items = {9999, key, key, dict};
  tree.set_root(dict);
  EXPECT_EQ(tree.find_path({"self", "self", "self"}), dict);
}

}  // namespace
}  // namespace kilter
