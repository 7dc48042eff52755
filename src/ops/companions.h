// The files beside the weights that belong to a checkpoint.
#pragma once

#include <cstdint>
#include <vector>

#include "kilter/checkpoint.h"

#include "flow/plan.h"

namespace kilter::ops {

/// Files of a folder that hold no tensors and no index of shards: config, tokenizer, card, licence.
std::vector<std::uint32_t> companion_files(const CheckpointData& data);

/// An output that copies one of them.
PlanOutput companion_output(const Checkpoint& source, std::uint32_t file);

}  // namespace kilter::ops
