// What differs in what lies beside the weights: configuration, tokenizer, metadata.
#pragma once

#include "kilter/weights_diff.h"

#include "ops/weights/weights_input.h"

namespace kilter::ops {

/// Fills in `texts` and `tokenizers`: metadata where both are safetensors (what other formats state
/// is their container's own, and new with every file), files where both are folders. Indices of
/// shards are left out: how a checkpoint is cut is no difference.
/// Errors: kIo, kCancelled.
Status compare_documents(const WeightsInput& a, const WeightsInput& b, const RunContext& context,
                         CheckpointDiff& out);

}  // namespace kilter::ops
