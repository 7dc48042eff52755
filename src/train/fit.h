// Fits what was saved into what is live.
#pragma once

#include <vector>

#include "kilter/saver.h"

#include "train/step_layout.h"

namespace kilter::train {

/// Where each tensor of `state` comes from. Strict: every path on both sides, dtypes and shapes.
/// Errors: kInvalidArgument with all that does not fit.
Result<std::vector<LoadTarget>> fit_state(const State& state, const Checkpoint& checkpoint,
                                          const LoadedState& loaded);

/// load_into() for targets that may be strided: those pass through memory of our own.
Status load_fitted(const Checkpoint& checkpoint, std::vector<LoadTarget> targets,
                   const RunContext& context);

/// What to say where not one step is intact.
Error none_intact(const std::vector<DamagedStep>& damaged);

}  // namespace kilter::train
