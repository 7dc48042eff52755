// A nested state as flat names, by torch's own rules.
// Source: torch/distributed/checkpoint/_traverse.py and _nested_dict.py (since torch 2.4).
#pragma once

#include <string>
#include <vector>

#include "kilter/error.h"
#include "kilter/state_tree.h"

#include "formats/dcp/metadata.h"

namespace kilter::dcp {

/// One value of the flat state: a tensor, or a node that is saved as an object.
struct FlatLeaf {
  std::string fqn;  ///< the path's parts joined by '.'; made unique with '#2', '#3' …
  std::vector<PathPart> path;
  StateId node = kNoState;
};

/// Dictionaries are walked, lists only where they hold tensors or dictionaries; keys become text.
/// Beyond torch: empty dictionaries are values, so that none is lost; tuples and objects that hold
/// tensors are walked too (objects as {"__class__", "args", "state", "items"}), and a rebuilt
/// tensor (a parameter, say) counts as its tensor. Cycles are cut.
/// Errors: kLimitExceeded past ten million leaves.
Result<std::vector<FlatLeaf>> flatten_state(const StateTree& state);

}  // namespace kilter::dcp
