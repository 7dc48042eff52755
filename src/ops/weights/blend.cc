#include "ops/weights/blend.h"

#include <cmath>
#include <utility>

#include "base/try.h"
#include "ops/slim/scaled_input.h"
#include "ops/weights/blend_stream.h"
#include "ops/weights/tensor_pairs.h"
#include "ops/weights/weights_output.h"
#include "tensor/kernels/float_values.h"

namespace kilter::ops {

Status check_blend_dtype(const BlendOptions& options) {
  if (!options.dtype || has_float_values(*options.dtype)) return ok();
  return fail(Error(ErrorCode::kInvalidArgument, "weights cannot be computed in this dtype")
                  .wanted("f64, f32, bf16, f16, f8_e4m3fn or f8_e5m2",
                          std::string(dtype_name(*options.dtype))));
}

Result<std::vector<WeightsInput>> open_blend_inputs(const std::vector<std::string>& sources,
                                                    const std::string& verb,
                                                    const OpenOptions& options) {
  std::vector<WeightsInput> inputs;
  for (const std::string& source : sources) {
    KILTER_ASSIGN(WeightsInput input, open_weights(source, options));
    KILTER_TRY(refuse_scaled_weights(input, verb));
    inputs.push_back(std::move(input));
  }
  return inputs;
}

Status write_blend(const std::vector<WeightsInput>& inputs, BlendPlan plan, Recipe recipe,
                   const std::string& target, const BlendOptions& options, WeightsReport& report) {
  if (options.dtype) recipe.own["dtype"] = dtype_name(*options.dtype);
  recipe.allow = options.allow;
  if (recipe.inputs.empty()) {
    KILTER_ASSIGN(recipe.inputs, describe_inputs(inputs, options));
  }
  report.verb = recipe.verb;
  if (report.sources.empty())
    for (const WeightsInput& input : inputs) report.sources.push_back(input.address);
  report.tensors = std::move(plan.tensors);
  BlendOptions how = options;
  stream_large_blends(plan.plan, how);
  WeightsJob job;
  job.base = &inputs.front();
  job.plan = std::move(plan.plan);
  job.recipe = write_recipe(recipe);
  job.config_dtype = options.dtype;
  job.passes_before = plan.passes_before;
  return write_weights(std::move(job), target, how, report);
}

Status run_blend(const std::vector<WeightsInput>& inputs, BlendRequest request, Recipe recipe,
                 const std::string& target, const BlendOptions& options, WeightsReport& report) {
  request.dtype = options.dtype;
  request.allow = options.allow;
  KILTER_ASSIGN(BlendPlan plan, plan_blend(inputs, request));
  recipe.verb = request.verb;
  return write_blend(inputs, std::move(plan), std::move(recipe), target, options, report);
}

Result<std::map<std::string, std::vector<double>>> slerp_coefficients(
    const std::vector<WeightsInput>& inputs, const std::map<std::string, double>& ratios,
    unsigned thread_count, const RunContext& context) {
  constexpr double kParallel = 0.9995;
  std::vector<TensorPair> pairs;
  for (const auto& [name, ratio] : ratios) {
    const auto own = inputs[0].find(name), other = inputs[1].find(name);
    if (!own || !other) continue;
    const TensorInfo &a = inputs[0].info(*own), &b = inputs[1].info(*other);
    if (a.shape != b.shape || !has_float_values(a.dtype) || !has_float_values(b.dtype)) continue;
    pairs.push_back(
        {&inputs[0], &inputs[1], *own, *other, a.dtype, b.dtype, true, a.element_count()});
  }
  KILTER_ASSIGN(const std::vector<PairSums> sums, sum_pairs(pairs, thread_count, context));
  std::map<std::string, std::vector<double>> out;
  for (const auto& [name, ratio] : ratios) out[name] = {1 - ratio, ratio};
  for (std::size_t p = 0; p < pairs.size(); ++p) {
    const DifferenceSums& sum = sums[p].sums;
    const double norms = std::sqrt(sum.a_squares) * std::sqrt(sum.b_squares);
    const double cosine = norms > 0 ? sum.dot / norms : 0;
    if (std::fabs(cosine) > kParallel) continue;
    const std::string& name = inputs[0].names[pairs[p].a];
    const double ratio = ratios.at(name);
    const double angle = std::acos(cosine), whole = std::sin(angle);
    out[name] = {std::sin(angle - angle * ratio) / whole, std::sin(angle * ratio) / whole};
  }
  return out;
}

}  // namespace kilter::ops
