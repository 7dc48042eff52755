// What a checkpoint holds besides tensors, listed so that nothing is lost in silence.
#pragma once

#include <string>
#include <vector>

#include "kilter/state_tree.h"

namespace kilter::ops {

struct StateValue {
  std::string path;  ///< "optimizer.param_groups.0.lr"
  StateId node = kNoState;
};

/// Every value of the tree that is not a tensor, once: scalars, texts, globals, objects without
/// entries, empty containers, and whole lists of scalars as one value. At most `count_max`.
std::vector<StateValue> state_values(const StateTree& tree, std::size_t count_max = 1'000'000);

/// True for a tree that says no more than its tensors' names do: a plain dict of name to tensor.
bool is_plain_dict(const StateTree& tree, const std::vector<std::string>& names);

/// A plain dict from each name to the tensor at its position.
StateTree plain_dict(const std::vector<std::string>& names);

}  // namespace kilter::ops
