// Nested state put together from flat names.
#pragma once

#include <vector>

#include "kilter/state_tree.h"

#include "formats/dcp/metadata.h"

namespace kilter::dcp {

/// One leaf and the way to it.
struct StateLeaf {
  std::vector<PathPart> path;
  StateId value = kNoState;
};

/// Adds dictionaries and lists to `tree` so that every leaf lies where its path leads, and returns
/// the root: a dictionary. Positions become a list where they are 0, 1, 2 … without large holes
/// (which hold None), else integer keys. Of two leaves with one path the first stays.
StateId build_state(const std::vector<StateLeaf>& leaves, StateTree* tree);

}  // namespace kilter::dcp
