// Tensors that were one in the source stay one where the target can say so.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "kilter/checkpoint.h"

#include "flow/plan.h"

namespace kilter::ops {

/// Joins outputs of one dtype and shape whose inputs are the same views, or tensors that `base`
/// states to be tied and that hold the same bytes, and whose kernels do the same: the first stays
/// and gets a view for each name. Returns (name, the name it is stored with) of those joined.
/// Errors: from reading what is stated to be tied.
Result<std::vector<std::pair<std::string, std::string>>> join_tied_outputs(
    Plan& plan, const Checkpoint& base, const RunContext& context);

}  // namespace kilter::ops
