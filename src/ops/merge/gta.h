// The family of task arithmetic: what was learned (term - base), thinned, blended, added to the
// base.
#pragma once

#include <memory>

#include "ops/merge/merge_study.h"

namespace kilter::ops {

/// task_arithmetic, ties, dare_*, breadcrumbs*, della*. Source: docs/merge-methods.md.
std::unique_ptr<MergeStudy> study_task_vectors(const TensorMerge& merge);

}  // namespace kilter::ops
