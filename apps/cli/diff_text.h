// The difference of two checkpoints as people read it.
#pragma once

#include <vector>

#include "kilter/weights_diff.h"

#include "cli/command.h"

namespace kilter::cli {

/// Summary, then what differs, the most first; everything with `all`.
void print_checkpoint_diff(const CheckpointDiff& diff, const Terminal& terminal, bool all);

/// What is not the same (everything with `all`): the most changed first, what could not be compared
/// before that.
std::vector<const TensorDiff*> shown_rows(const CheckpointDiff& diff, bool all);
/// Its numbers say something.
bool was_compared(WeightChange change);

}  // namespace kilter::cli
