// The family of task arithmetic: what was learned (term - base), thinned, blended, added to the
// base.
#pragma once

#include <memory>

#include "ops/merge/merge_study.h"

namespace kilter::ops {

/// task_arithmetic, ties, dare_*, breadcrumbs*, della*. `memory_bytes_max` bounds the search for
/// thresholds. Source: docs/merge-methods.md.
Result<std::unique_ptr<MergeStudy>> study_task_vectors(const TensorMerge& merge,
                                                       std::uint64_t memory_bytes_max);

}  // namespace kilter::ops
