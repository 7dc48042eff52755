// Does the second checkpoint lie between the first and a third one?
#pragma once

#include "kilter/weights_diff.h"

#include "ops/weights/tensor_pairs.h"

namespace kilter::ops {

/// Fits b = a + t (c - a) by least squares for every pair that changed, element by element in
/// binary64, and fills in `interpolation` of its row and of `out`. `rows[i]` is the row of
/// `pairs[i]`. Tensors that `c` lacks by A's name, or has in another shape or no floats, are left
/// out and counted.
/// Errors: kIo, kCorrupt, kCancelled.
Status compare_against(const WeightsInput& c, const std::vector<TensorPair>& pairs,
                       const std::vector<std::size_t>& rows, unsigned thread_count,
                       const RunContext& context, CheckpointDiff& out);

}  // namespace kilter::ops
