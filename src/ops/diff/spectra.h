// The singular values of what changed, for some of the tensors.
#pragma once

#include "kilter/weights_diff.h"

#include "ops/weights/tensor_pairs.h"

namespace kilter::ops {

/// Fills in `spectrum` of the rows of the matrices that changed most, as `options.spectrum_tensors`
/// says. `rows[i]` is the row of `pairs[i]`.
/// Errors: kIo, kCorrupt, kCancelled.
Status measure_spectra(const std::vector<TensorPair>& pairs, const std::vector<std::size_t>& rows,
                       const DiffOptions& options, CheckpointDiff& out);

}  // namespace kilter::ops
