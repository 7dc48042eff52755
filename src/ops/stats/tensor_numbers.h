// Statistics of tensors, made of fixed runs of their elements in parallel.
#pragma once

#include <vector>

#include "kilter/stats.h"

namespace kilter::ops {

/// What the checkpoint's tensors of these numbers hold, and the total over those of floats; fills
/// in everything but names. One pass, memory for a few tensors' channels.
/// Errors: kIo, kCorrupt, kCancelled; of several the first in order.
Status measure_tensors(const Checkpoint& checkpoint, const std::vector<std::size_t>& tensors,
                       const StatsOptions& options, CheckpointStats& out);

}  // namespace kilter::ops
