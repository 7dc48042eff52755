// Where a leaf stands in a state, for messages and tensor names.
#pragma once

#include <string>
#include <vector>

#include "kilter/state_tree.h"

namespace kilter::train {

/// "optimizer/lr".
std::string path_text(const std::vector<std::string>& path);

/// A tensor of a tree and the keys and positions that lead to it.
struct TensorPlace {
  std::vector<std::string> path;
  std::size_t tensor = 0;  ///< as its node says
};

/// All tensors below `root` (dictionaries, lists, tuples), in the tree's order. What hangs in
/// several places is entered once.
std::vector<TensorPlace> tensor_places(const StateTree& tree, StateId root);

/// The value of a dictionary under a key as path_text() shows it: texts as they are, integers as
/// digits; items of lists by position. kNoState if there is none.
StateId child_of(const StateTree& tree, StateId node, const std::string& key);

/// A key as part of a path; "" for what is neither text nor a number.
std::string key_text(const StateNode& key);

}  // namespace kilter::train
