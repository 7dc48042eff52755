// The part of a checkpoint that is not tensors, as plain data. Owned by the floor `flow`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kilter {

/// Index of a node in its StateTree.
using StateId = std::uint32_t;
inline constexpr StateId kNoState = 0xffffffffU;

enum class StateKind : std::uint8_t {
  kNone,
  kBool,
  kInt,
  kBigInt,
  kFloat,
  kComplex,
  kString,
  kBytes,
  kList,
  kTuple,
  kDict,
  kSet,
  kTensor,  ///< refers to a tensor of the checkpoint's index
  kObject,  ///< an instance of any class, kept inert: its class's name and what it was made from
  kGlobal,  ///< a class or function, named but never resolved
};

/// One node. Which members count depends on `kind`:
/// kBool, kInt: `integer`; kFloat: `number`; kComplex: `number` + `imaginary`;
/// kBigInt (decimal text), kString, kBytes, kGlobal ("module.name"): `text`;
/// kList, kTuple, kSet: `items`; kDict: `items` alternates key, value;
/// kTensor: `integer` is the index in TensorIndex::tensors;
/// kObject: `text` is "module.name" of the class or callable; `items` its arguments in order;
/// `state` what was set on it afterwards (BUILD), or kNoState; entries added later to a
/// list-like or dict-like object: `extra` (a kList or kDict), or kNoState.
struct StateNode {
  StateKind kind = StateKind::kNone;
  std::int64_t integer = 0;
  double number = 0;
  double imaginary = 0;
  std::string text;
  std::vector<StateId> items;
  StateId state = kNoState;
  StateId extra = kNoState;
};

/// Nodes in an arena. One node may be referred to from several places (shared objects) and
/// cycles are possible: whoever walks it counts visits or marks nodes. Never walked by recursion.
class StateTree {
 public:
  StateId add(StateNode node) {
    nodes_.push_back(std::move(node));
    return static_cast<StateId>(nodes_.size() - 1);
  }
  const StateNode& operator[](StateId id) const { return nodes_[id]; }
  StateNode& operator[](StateId id) { return nodes_[id]; }
  std::size_t size() const { return nodes_.size(); }
  bool empty() const { return root_ == kNoState; }
  StateId root() const { return root_; }
  void set_root(StateId id) { root_ = id; }

  /// Value of string key `key` in dict `dict` (also in a kObject's `extra` dict); kNoState if none.
  StateId find(StateId dict, std::string_view key) const;
  /// Follows string keys from the root; kNoState where the path ends.
  StateId find_path(std::initializer_list<std::string_view> keys) const;

 private:
  std::vector<StateNode> nodes_;
  StateId root_ = kNoState;
};

}  // namespace kilter
