// A checkpoint's image decoder replaced by another.
#pragma once

#include "kilter/merge.h"

#include "ops/weights/blend_plan.h"
#include "ops/weights/weights_input.h"

namespace kilter::ops {

/// Every output under `first_stage_model.` becomes the tensor of `vae` by that name, with or
/// without the prefix, in the output's dtype; where there are none, all of them are added.
/// Errors: kInvalidArgument where `vae` lacks tensors or has other shapes: each kind named.
Status bake_vae(const WeightsInput& vae, const BlendOptions& options, BlendPlan& plan);

}  // namespace kilter::ops
