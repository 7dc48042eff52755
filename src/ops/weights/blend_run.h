// A planned blend, with its recipe, written: the last part of every verb that is a weighted sum.
#pragma once

#include <string>
#include <vector>

#include "ops/weights/blend_plan.h"
#include "ops/weights/recipe.h"

namespace kilter::ops {

/// Errors: kInvalidArgument for a dtype that weights cannot be computed in.
Status check_blend_dtype(const BlendOptions& options);

/// Plans the request over `inputs` (its dtype and allowances are those of `options`), records
/// recipe.own and recipe.inputs (of `inputs`, where they are not filled in), writes, and fills
/// `report`, whose sources are the inputs' addresses unless there are some already.
/// Errors: as plan_blend(), write_weights().
Status run_blend(const std::vector<WeightsInput>& inputs, BlendRequest request, Recipe recipe,
                 const std::string& target, const BlendOptions& options, WeightsReport& report);

}  // namespace kilter::ops
