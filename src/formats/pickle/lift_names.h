// Names for tensors, from the paths that lead to them.
#pragma once

#include "kilter/checkpoint.h"

namespace kilter::pickle {

/// Names every tensor of data->index by its path from the root of data->state and puts them in the
/// order of that walk; see lift.h for the rules. kTensor nodes are renumbered accordingly. Tensors
/// that no path reaches come last as "unreached.0", …
/// Errors: kLimitExceeded where the names together grow out of proportion to the state.
Status name_tensors(CheckpointData* data);

}  // namespace kilter::pickle
