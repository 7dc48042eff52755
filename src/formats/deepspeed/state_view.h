// Reading what a rank's file states, out of its state tree. Nothing here trusts the tree's shape.
#pragma once

#include <optional>
#include <string>
#include <string_view>
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

/// The value under an integer key.
StateId find_number(const StateTree& tree, StateId dict, std::int64_t key);

/// The tensor a node stands for: itself, or that of a Parameter. nullptr if none.
const TensorInfo* tensor_of(const CheckpointData& data, StateId id);

/// Copies subtrees of one tree to another. Shared nodes stay shared.
class TreeCopy {
 public:
  /// `tensor` turns a tensor's number in the source into a node of the target.
  template <typename Tensor>
  static StateId run(const StateTree& from, StateId root, StateTree* to, Tensor tensor) {
    if (root >= from.size()) return kNoState;
    std::vector<StateId> made(from.size(), kNoState);
    std::vector<StateId> order;
    const auto want = [&](StateId id) {
      if (id >= from.size()) return kNoState;
      if (made[id] == kNoState) {
        const bool is_tensor = from[id].kind == StateKind::kTensor;
        made[id] = is_tensor ? tensor(static_cast<std::size_t>(from[id].integer)) : to->add({});
        if (!is_tensor) order.push_back(id);
      }
      return made[id];
    };
    want(root);
    for (std::size_t next = 0; next < order.size(); ++next) {
      StateNode node = from[order[next]];
      for (StateId& item : node.items) item = want(item);
      node.state = want(node.state);
      node.extra = want(node.extra);
      (*to)[made[order[next]]] = std::move(node);
    }
    return made[root];
  }
};

}  // namespace kilter::deepspeed
