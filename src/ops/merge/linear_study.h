// Methods whose result is one weighted sum of the inputs.
#pragma once

#include <memory>
#include <span>

#include "ops/merge/merge_study.h"

namespace kilter::ops {

/// linear and passthrough: known without a pass. Source: docs/merge-methods.md.
std::unique_ptr<MergeStudy> study_linear(const TensorMerge& merge);

/// The weighted sum of all inputs, the base first if there is one; null where it is one of them as
/// it is.
std::shared_ptr<const Kernel> blend_inputs(const TensorMerge& merge,
                                           std::span<const double> coefficients);

}  // namespace kilter::ops
