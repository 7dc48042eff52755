// The difference of two checkpoints as people read it.
#pragma once

#include "kilter/weights_diff.h"

#include "cli/command.h"

namespace kilter::cli {

/// Summary, then what differs, the most first; everything with `all`.
void print_checkpoint_diff(const CheckpointDiff& diff, const Terminal& terminal, bool all);

}  // namespace kilter::cli
