#include "formats/state_json/state_json.h"

#include <gtest/gtest.h>

#include <bit>
#include <limits>
#include <random>

#include "kilter/checkpoint.h"

#include "formats/test_files.h"

namespace kilter::state_json {
namespace {

using formats::test::safetensors_file;
using formats::test::ScratchFolder;

StateNode node(StateKind kind, std::string text = {}, std::vector<StateId> items = {}) {
  StateNode out;
  out.kind = kind;
  out.text = std::move(text);
  out.items = std::move(items);
  return out;
}

StateNode number(double value) {
  StateNode out = node(StateKind::kFloat);
  out.number = value;
  return out;
}

bool same_bits(double a, double b) {
  return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}

bool has_identity(StateKind kind) { return kind >= StateKind::kList && kind != StateKind::kGlobal; }

/// Empty if both trees say the same, with the same sharing; otherwise what differs.
std::string difference(const StateTree& a, const std::vector<std::string>& a_names,
                       const StateTree& b, const std::vector<std::string>& b_names) {
  std::vector<std::pair<StateId, StateId>> pending = {{a.root(), b.root()}};
  std::vector<StateId> twin(a.size(), kNoState);
  while (!pending.empty()) {
    const auto [x, y] = pending.back();
    pending.pop_back();
    if (x == kNoState || y == kNoState) {
      if (x != y) return "one value is missing";
      continue;
    }
    const StateNode &p = a[x], &q = b[y];
    if (has_identity(p.kind)) {
      if (twin[x] == y) continue;
      if (twin[x] != kNoState) return "a shared value was written twice";
      twin[x] = y;
    }
    if (p.kind != q.kind || p.text != q.text) return "kind or text of " + p.text;
    if (!same_bits(p.number, q.number) || !same_bits(p.imaginary, q.imaginary)) return "number";
    if (p.kind == StateKind::kTensor) {
      if (a_names[static_cast<std::size_t>(p.integer)] !=
          b_names[static_cast<std::size_t>(q.integer)])
        return "tensor";
    } else if (p.integer != q.integer) {
      return "integer";
    }
    if (p.items.size() != q.items.size()) return "count of items";
    for (std::size_t i = 0; i < p.items.size(); ++i) pending.emplace_back(p.items[i], q.items[i]);
    pending.emplace_back(p.state, q.state);
    pending.emplace_back(p.extra, q.extra);
  }
  return {};
}

void expect_round_trip(const StateTree& tree, const std::vector<std::string>& names) {
  const auto text = write_state_json(tree, names, {});
  ASSERT_TRUE(text) << text.error().text();
  const auto file = parse_state_json(*text);
  ASSERT_TRUE(file) << file.error().text() << "\n" << text->substr(0, 2000);
  EXPECT_EQ(difference(tree, names, file->state, file->tensor_names), "") << text->substr(0, 2000);
}

TEST(StateJson, KeepsEveryKindOfValue) {
  StateTree tree;
  std::vector<StateId> items;
  const auto add = [&](StateNode n) { items.push_back(tree.add(std::move(n))); };
  StateNode integer = node(StateKind::kInt);
  add(node(StateKind::kNone));
  for (const std::int64_t value : {std::int64_t{0}, std::numeric_limits<std::int64_t>::min(),
                                   std::numeric_limits<std::int64_t>::max()}) {
    integer.integer = value;
    add(integer);
  }
  StateNode yes = node(StateKind::kBool);
  yes.integer = 1;
  add(yes);
  add(node(StateKind::kBigInt, "-123456789012345678901234567890"));
  for (const double value :
       {0.0, -0.0, 1.0, 1e-5, 0.1, 1e300, 5e-324, std::numeric_limits<double>::infinity(),
        -std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN(),
        std::bit_cast<double>(0xfff8000000000123ULL)})
    add(number(value));
  StateNode complex = node(StateKind::kComplex);
  complex.number = -0.0;
  complex.imaginary = std::numeric_limits<double>::quiet_NaN();
  add(complex);
  add(node(StateKind::kString, "plain \"quotes\" \n\x01 ünï"));
  add(node(StateKind::kString, "\xed\xa0\x80 lone surrogate"));
  add(node(StateKind::kString, std::string("a\0b", 3)));
  add(node(StateKind::kBytes, std::string("\0\xff\x80", 3)));
  add(node(StateKind::kGlobal, "torch.float32"));
  add(node(StateKind::kGlobal, "\xff.bad"));
  StateNode tensor = node(StateKind::kTensor);
  tensor.integer = 1;
  add(tensor);
  const StateId key = tree.add(node(StateKind::kString, "k")),
                dollar = tree.add(node(StateKind::kString, "$ref"));
  add(node(StateKind::kDict, "", {key, items[0]}));
  add(node(StateKind::kDict, "", {dollar, items[0]}));
  add(node(StateKind::kDict, "", {items[1], items[0], items[2], items[3]}));
  add(node(StateKind::kDict, "", {key, items[0], key, items[1]}));
  for (const StateKind kind :
       {StateKind::kDict, StateKind::kList, StateKind::kTuple, StateKind::kSet})
    add(node(kind));
  add(node(StateKind::kTuple, "", {items[0], items[1]}));
  add(node(StateKind::kSet, "", {items[1]}));
  add(node(StateKind::kObject, "a.B"));
  StateNode object = node(StateKind::kObject, "a.C", {items[1], items[2]});
  object.state = tree.add(node(StateKind::kDict, "", {key, items[0]}));
  object.extra = tree.add(node(StateKind::kList, "", {items[4]}));
  add(object);
  object = node(StateKind::kObject, "a.D");
  object.extra = tree.add(node(StateKind::kList));
  add(object);
  tree.set_root(tree.add(node(StateKind::kList, "", items)));
  expect_round_trip(tree, {"unused", "layer.weight"});
}

TEST(StateJson, KeepsSharingAndCycles) {
  StateTree tree;
  const StateId shared = tree.add(node(StateKind::kList));
  const StateId root = tree.add(node(StateKind::kTuple, "", {shared, shared}));
  tree[shared].items = {root, shared};
  StateNode tensor = node(StateKind::kTensor);
  const StateId weight = tree.add(tensor);
  tree[root].items.push_back(weight);
  tree[root].items.push_back(weight);
  tree.set_root(root);
  expect_round_trip(tree, {"w"});
}

TEST(StateJson, KeepsWhatIsNestedDeeply) {
  StateTree tree;
  StateId inner = tree.add(node(StateKind::kNone));
  for (int i = 0; i < 20'000; ++i) {
    const StateId key = tree.add(node(StateKind::kInt));
    inner = i % 2 == 0 ? tree.add(node(StateKind::kDict, "", {key, inner}))
                       : tree.add(node(StateKind::kTuple, "", {inner}));
  }
  tree.set_root(inner);
  expect_round_trip(tree, {});
}

TEST(StateJson, KeepsRandomTrees) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    StateTree tree;
    const std::size_t count = 1 + random() % 60;
    for (std::size_t i = 0; i < count; ++i) {
      StateNode made = node(static_cast<StateKind>(random() % 15));
      made.integer = made.kind == StateKind::kInt ? static_cast<std::int64_t>(random()) : 0;
      if (made.kind == StateKind::kBool) made.integer = static_cast<std::int64_t>(random() % 2);
      if (made.kind == StateKind::kBigInt) made.text = "123";
      if (made.kind == StateKind::kString || made.kind == StateKind::kObject)
        made.text = std::string("t").append(std::to_string(i));
      tree.add(made);
    }
    // Children may be anything, also what came before: sharing and cycles appear by themselves.
    for (StateId i = 0; i < count; ++i) {
      const StateKind kind = tree[i].kind;
      if (kind < StateKind::kList || kind == StateKind::kTensor || kind == StateKind::kGlobal)
        continue;
      const std::size_t items = random() % 4 * 2;
      for (std::size_t k = 0; k < items; ++k)
        tree[i].items.push_back(static_cast<StateId>(random() % count));
      if (kind == StateKind::kObject && random() % 2 == 0)
        tree[i].state = static_cast<StateId>(random() % count);
    }
    tree.set_root(static_cast<StateId>(random() % count));
    expect_round_trip(tree, {"x"});
  }
}

TEST(StateJson, RefusesWhatTheSpecificationDoesNotSay) {
  const std::string head = R"({"format": "kilter-state", "version": 1)";
  EXPECT_TRUE(parse_state_json(head + "}"));
  const std::string_view bad[] = {
      R"(, "more": 1})",
      R"(, "root": {"$what": 1}})",
      R"(, "root": {"$tuple": [], "x": 1}})",
      R"(, "root": {"a": 1, "$b": 1}})",
      R"(, "root": {"$ref": 0}})",
      R"(, "shared": [{"$ref": 0}], "root": {"$ref": 0}})",
      R"(, "shared": {}})",
      R"(, "root": {"$float": 1}})",
      R"(, "root": {"$float": "3ff0000000000000"}})",
      R"(, "root": {"$bigint": "0x10"}})",
      R"(, "root": {"$bytes": "a"}})",
      R"(, "root": {"$complex": [1, 2]}})",
      R"(, "root": {"$dict": [[1]]}})",
      R"(, "root": {"$tensor": 1}})",
      R"(, "root": {"$object": "a", "rest": 1}})",
      R"(, "root": 18446744073709551615})",
      R"(, "root": 1, "root": 2})",
      R"(, "tensors": []})",
      R"(, "tensors": {"a": {"dtype": "f32"}}})",
      R"(, "tensors": {"a": {"dtype": "nope", "shape": []}}})",
      R"(, "tensors": {"a": {"shape": [-1]}}})",
      R"(, "tensors": {"a": {"color": 1}}})",
  };
  for (const auto rest : bad) EXPECT_FALSE(parse_state_json(head + std::string(rest))) << rest;
  EXPECT_FALSE(parse_state_json("[]"));
  EXPECT_FALSE(parse_state_json(R"({"version": 1})"));
  const auto newer = parse_state_json(R"({"format": "kilter-state", "version": 2})");
  ASSERT_FALSE(newer);
  EXPECT_EQ(newer.error().code, ErrorCode::kUnsupported);
}

class Attached : public ::testing::Test {
 protected:
  Result<Checkpoint> open(std::string_view state) {
    folder_.put("m.state.json", state);
    return open_checkpoint(
        folder_.put("m.safetensors",
                    safetensors_file(R"({"a":{"dtype":"U8","shape":[4,2],"data_offsets":[0,8]}})",
                                     "12345678")));
  }
  ScratchFolder folder_;
};

TEST_F(Attached, GivesDtypesViewsFlagsAndState) {
  const auto opened = open(R"({"format": "kilter-state", "version": 1,
    "tensors": {"a": {"dtype": "c32", "shape": [2], "requires_grad": true},
                "tied": {"view_of": "a"},
                "part": {"view_of": "a", "shape": [1], "offset": 1}},
    "root": {"step": 7, "w": [{"$tensor": "a"}, {"$tensor": "tied"}, {"$tensor": "part"}]}})");
  ASSERT_TRUE(opened) << opened.error().text();
  EXPECT_TRUE(opened->data().findings.empty()) << opened->data().findings[0].message;
  ASSERT_EQ(opened->tensors().size(), 3U);
  EXPECT_EQ(opened->tensors()[0].dtype, DType::kC32);
  EXPECT_TRUE(opened->tensors()[0].requires_grad);
  EXPECT_EQ(opened->data().ties, (std::vector<std::pair<std::string, std::string>>{{"tied", "a"}}));
  const auto part = opened->read_tensor("part");
  ASSERT_TRUE(part) << part.error().text();
  EXPECT_EQ(as_text(Bytes(*part)), "5678");
  const StateTree& state = opened->data().state;
  EXPECT_EQ(state[state.find_path({"step"})].integer, 7);
}

TEST_F(Attached, KeepsTiesOfTensorsThatAreStoredTwice) {
  folder_.put("m.state.json", R"({"format": "kilter-state", "version": 1,
    "tensors": {"b": {"tied_to": "a"}, "a": {"tied_to": "gone"}}})");
  const auto opened = open_checkpoint(folder_.put(
      "m.safetensors",
      safetensors_file(
          R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
          "11")));
  ASSERT_TRUE(opened) << opened.error().text();
  EXPECT_EQ(opened->data().ties, (std::vector<std::pair<std::string, std::string>>{{"b", "a"}}));
}

TEST_F(Attached, ReportsWhatDoesNotFitAndOpensTheRest) {
  const auto opened = open(R"({"format": "kilter-state", "version": 1,
    "tensors": {"a": {"dtype": "f64", "shape": [2]}, "gone": {"requires_grad": true},
                "far": {"view_of": "a", "offset": 100}},
    "root": [{"$tensor": "absent"}]})");
  ASSERT_TRUE(opened) << opened.error().text();
  EXPECT_EQ(opened->tensors().size(), 1U);
  EXPECT_EQ(opened->tensors()[0].dtype, DType::kU8);
  EXPECT_EQ(opened->data().findings.size(), 5U);
  EXPECT_TRUE(open("{")->data().state.empty());
  EXPECT_EQ(open("{")->data().findings.at(0).rule, "state-json.malformed");
}

}  // namespace
}  // namespace kilter::state_json
