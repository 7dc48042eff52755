// Universal checkpoints: a folder for each parameter, whole, with the optimizer's state beside it.
// Source: deepspeed/checkpoint/ds_to_universal.py.
#pragma once

#include <string>
#include <vector>

#include "kilter/checkpoint.h"

#include "formats/deepspeed/rank_files.h"

namespace kilter::deepspeed {

/// zero/<parameter>/fp32.pt and the other names of a tag's folder, which are sorted.
bool is_universal(const std::vector<std::string>& names);

/// Appends the parameters ("<parameter>") and their optimizer state ("optimizer.<parameter>.<file's
/// stem>") to `data`. What lies flat (a conversion from stage 3 leaves it so) takes its shape from
/// the model file's param_shapes. Returns the state.
/// Errors: kMalformed, kUnsupported with path and tensor.
Result<StateId> add_universal(const std::vector<std::string>& names, const std::string& folder,
                              RankFiles* opener, CheckpointData* data);

}  // namespace kilter::deepspeed
