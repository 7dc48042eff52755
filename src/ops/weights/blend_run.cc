#include "ops/weights/blend_run.h"

#include "base/try.h"
#include "ops/weights/blend_stream.h"
#include "ops/weights/weights_output.h"
#include "tensor/kernels/float_values.h"

namespace kilter::ops {

Status check_blend_dtype(const BlendOptions& options) {
  if (!options.dtype || has_float_values(*options.dtype)) return ok();
  return fail(Error(ErrorCode::kInvalidArgument, "weights cannot be computed in this dtype")
                  .wanted("f64, f32, bf16, f16, f8_e4m3fn or f8_e5m2",
                          std::string(dtype_name(*options.dtype))));
}

Status run_blend(const std::vector<WeightsInput>& inputs, BlendRequest request, Recipe recipe,
                 const std::string& target, const BlendOptions& options, WeightsReport& report) {
  request.dtype = options.dtype;
  request.allow = options.allow;
  KILTER_ASSIGN(BlendPlan plan, plan_blend(inputs, request));
  recipe.verb = request.verb;
  if (options.dtype) recipe.own["dtype"] = dtype_name(*options.dtype);
  recipe.allow = options.allow;
  if (recipe.inputs.empty()) {
    KILTER_ASSIGN(recipe.inputs, describe_inputs(inputs, options));
  }
  report.verb = request.verb;
  if (report.sources.empty())
    for (const WeightsInput& input : inputs) report.sources.push_back(input.address);
  report.tensors = std::move(plan.tensors);
  BlendOptions how = options;
  stream_large_blends(plan.plan, how);
  WeightsJob job{&inputs.front(), std::move(plan.plan), write_recipe(recipe), options.dtype};
  return write_weights(std::move(job), target, how, report);
}

}  // namespace kilter::ops
