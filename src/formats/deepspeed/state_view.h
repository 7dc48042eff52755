// Reading what a rank's file states, out of its state tree. Nothing here trusts the tree's shape.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kilter/checkpoint.h"

namespace kilter::deepspeed {

/// An integer, a bool, or an enum's member (an object made from one number).
std::optional<std::int64_t> integer_of(const StateTree& tree, StateId id);

/// A tuple, a list, or a torch.Size of one, as integers from 0 on.
std::optional<std::vector<std::int64_t>> sizes_of(const StateTree& tree, StateId id);

/// Items of a list or tuple; empty for anything else.
std::vector<StateId> items_of(const StateTree& tree, StateId id);

/// Entries of a dictionary or OrderedDict whose keys are strings, in order.
std::vector<std::pair<std::string, StateId>> entries_of(const StateTree& tree, StateId id);

/// The same for looking up: `StateTree::find` walks the whole dictionary.
std::unordered_map<std::string, StateId> lookup_of(const StateTree& tree, StateId id);

/// The tensor a node stands for: itself, or that of a Parameter. nullptr if none.
const TensorInfo* tensor_of(const CheckpointData& data, StateId id);

/// Entries whose keys are integers from 0 to `count` - 1: by key, kNoState where there is none.
std::vector<StateId> numbered_entries(const StateTree& tree, StateId id, std::size_t count);

/// Copies subtrees of one tree to another. A node that several copies reach is copied once.
class TreeCopy {
 public:
  TreeCopy(const StateTree& from, StateTree* to)
      : from_(from), to_(to), made_(from.size(), kNoState) {}

  /// `tensor` turns a tensor's number in the source into a node of the target.
  template <typename Tensor>
  StateId copy(StateId root, Tensor tensor) {
    std::vector<StateId> order;
    const auto want = [&](StateId id) {
      if (id >= from_.size()) return kNoState;
      if (made_[id] == kNoState) {
        const bool is_tensor = from_[id].kind == StateKind::kTensor;
        made_[id] = is_tensor ? tensor(static_cast<std::size_t>(from_[id].integer)) : to_->add({});
        if (!is_tensor) order.push_back(id);
      }
      return made_[id];
    };
    const StateId made = want(root);
    for (std::size_t next = 0; next < order.size(); ++next) {
      StateNode node = from_[order[next]];
      for (StateId& item : node.items) item = want(item);
      node.state = want(node.state);
      node.extra = want(node.extra);
      (*to_)[made_[order[next]]] = std::move(node);
    }
    return made;
  }

 private:
  const StateTree& from_;
  StateTree* to_;
  std::vector<StateId> made_;
};

}  // namespace kilter::deepspeed
