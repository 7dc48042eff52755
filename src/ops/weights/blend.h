// The steps every linear blend takes: open, plan, describe, write.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "kilter/weights.h"

#include "ops/weights/blend_plan.h"
#include "ops/weights/recipe.h"
#include "ops/weights/weights_input.h"

namespace kilter::ops {

/// Errors: kInvalidArgument for a dtype that weights cannot be computed in.
Status check_blend_dtype(const BlendOptions& options);

/// Errors: as open_weights(); kInvalidArgument for f8 weights with scales, which `verb` cannot
/// blend as they are.
Result<std::vector<WeightsInput>> open_blend_inputs(const std::vector<std::string>& sources,
                                                    const std::string& verb,
                                                    const OpenOptions& options);

/// Writes a planned blend. `recipe` has its verb and its own words; dtype, what was allowed and,
/// where there are none yet, inputs are filled in here. The first input gives metadata and
/// companions.
Status write_blend(const std::vector<WeightsInput>& inputs, BlendPlan plan, Recipe recipe,
                   const std::string& target, const BlendOptions& options, WeightsReport& report);

/// Plans the request over `inputs` (its dtype and allowances are those of `options`), records
/// recipe.own and recipe.inputs (of `inputs`, where they are not filled in), writes, and fills
/// `report`, whose sources are the inputs' addresses unless there are some already.
/// Errors: as plan_blend(), write_weights().
Status run_blend(const std::vector<WeightsInput>& inputs, BlendRequest request, Recipe recipe,
                 const std::string& target, const BlendOptions& options, WeightsReport& report);

/// Coefficients on the great circle between two inputs, for every tensor that both have as floats
/// of one shape, each taken as one long vector. `ratio_of` says how far to go. Nearly parallel
/// ones go straight, as their angle is mostly noise. Reads both whole.
/// Source: Shoemake, Animating Rotation with Quaternion Curves (1985); the bound is mergekit's.
Result<std::map<std::string, std::vector<double>>> slerp_coefficients(
    const std::vector<WeightsInput>& inputs, const std::map<std::string, double>& ratios,
    unsigned thread_count, const RunContext& context);

}  // namespace kilter::ops
