// Linear blends: average, weighted sum, add difference.
#include <cmath>

#include "kilter/weights.h"

#include "base/try.h"
#include "ops/weights/blend_plan.h"
#include "ops/weights/recipe.h"
#include "ops/weights/weights_output.h"
#include "tensor/kernels/float_values.h"

namespace kilter {
namespace ops {
namespace {

struct Blend {
  BlendRequest request;
  std::vector<double> stated;  ///< as the recipe keeps them
};

Result<WeightsReport> run_blend(const std::vector<std::string>& sources, const std::string& target,
                                Blend blend, const BlendOptions& options) {
  if (options.dtype && !has_float_values(*options.dtype))
    return fail(Error(ErrorCode::kInvalidArgument, "weights cannot be computed in this dtype")
                    .wanted("f64, f32, bf16, f16, f8_e4m3fn or f8_e5m2",
                            std::string(dtype_name(*options.dtype))));
  std::vector<WeightsInput> inputs;
  for (const std::string& source : sources) {
    KILTER_ASSIGN(WeightsInput input, open_weights(source, options.open));
    inputs.push_back(std::move(input));
  }
  blend.request.dtype = options.dtype;
  blend.request.allow = options.allow;
  KILTER_ASSIGN(BlendPlan plan, plan_blend(inputs, blend.request));
  Recipe recipe;
  recipe.verb = blend.request.verb;
  recipe.weights = std::move(blend.stated);
  recipe.dtype = options.dtype;
  recipe.allow = options.allow;
  KILTER_ASSIGN(recipe.inputs, describe_inputs(inputs, options));
  WeightsReport report;
  report.verb = recipe.verb;
  report.sources = sources;
  report.tensors = std::move(plan.tensors);
  WeightsJob job{&inputs.front(), std::move(plan.plan), write_recipe(recipe), options.dtype};
  KILTER_TRY(write_weights(std::move(job), target, options, report));
  return report;
}

Status check_ratio(double ratio) {
  if (std::isfinite(ratio)) return ok();
  return fail(ErrorCode::kInvalidArgument, "the ratio is not a number");
}

}  // namespace
}  // namespace ops

Result<WeightsReport> average(const std::vector<std::string>& sources, const std::string& target,
                              const std::vector<double>& weights, const BlendOptions& options) {
  if (sources.empty()) return fail(ErrorCode::kInvalidArgument, "nothing to average");
  if (!weights.empty() && weights.size() != sources.size())
    return fail(
        Error(ErrorCode::kInvalidArgument, "there must be one weight for each input")
            .wanted(std::to_string(sources.size()) + " weights", std::to_string(weights.size())));
  ops::Blend blend;
  blend.request.verb = "average";
  blend.request.rescale_for_missing = true;
  blend.stated = weights.empty() ? std::vector<double>(sources.size(), 1.0) : weights;
  double sum = 0;
  for (const double weight : blend.stated) sum += weight;
  if (!std::isfinite(sum) || sum == 0)
    return fail(ErrorCode::kInvalidArgument, "the weights' sum is 0 or not a number");
  for (const double weight : blend.stated) blend.request.coefficients.push_back(weight / sum);
  return ops::run_blend(sources, target, std::move(blend), options);
}

Result<WeightsReport> merge_weighted(const std::string& a, const std::string& b, double ratio,
                                     const std::string& target, const BlendOptions& options) {
  KILTER_TRY(ops::check_ratio(ratio));
  ops::Blend blend{{"merge-weighted", {1 - ratio, ratio}, false, {}, {}}, {ratio}};
  return ops::run_blend({a, b}, target, std::move(blend), options);
}

Result<WeightsReport> merge_add_difference(const std::string& a, const std::string& b,
                                           const std::string& c, double ratio,
                                           const std::string& target, const BlendOptions& options) {
  KILTER_TRY(ops::check_ratio(ratio));
  ops::Blend blend{{"merge-add-difference", {1, ratio, -ratio}, false, {}, {}}, {ratio}};
  return ops::run_blend({a, b, c}, target, std::move(blend), options);
}

}  // namespace kilter
