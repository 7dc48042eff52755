// Blends: average, weighted sum, add difference, slerp.
#include <cmath>
#include <map>
#include <optional>

#include "kilter/weights.h"

#include "base/try.h"
#include "ops/slim/scaled_input.h"
#include "ops/weights/blend_plan.h"
#include "ops/weights/recipe_verbs.h"
#include "ops/weights/tensor_pairs.h"
#include "ops/weights/weights_output.h"
#include "tensor/kernels/float_values.h"

namespace kilter {
namespace ops {
namespace {

struct Blend {
  BlendRequest request;
  std::vector<double> stated;  ///< as the recipe keeps them
  std::optional<double> slerp_ratio;
};

/// Of every tensor that both have as floats of one shape: on the great circle between the two,
/// taken as one long vector each. Nearly parallel ones go straight, as their angle is mostly noise.
/// Source: Shoemake, Animating Rotation with Quaternion Curves (1985); the bound is mergekit's.
Result<std::map<std::string, std::vector<double>>> slerp_coefficients(
    const std::vector<WeightsInput>& inputs, double ratio, const BlendOptions& options) {
  constexpr double kParallel = 0.9995;
  std::vector<TensorPair> pairs;
  for (std::size_t i = 0; i < inputs[0].names.size(); ++i) {
    const auto other = inputs[1].find(inputs[0].names[i]);
    if (inputs[0].names[i].empty() || !other) continue;
    const TensorInfo &a = inputs[0].info(i), &b = inputs[1].info(*other);
    if (a.shape != b.shape || !has_float_values(a.dtype) || !has_float_values(b.dtype)) continue;
    pairs.push_back({&inputs[0], &inputs[1], i, *other, a.dtype, b.dtype, true, a.element_count()});
  }
  KILTER_ASSIGN(const std::vector<PairSums> sums,
                sum_pairs(pairs, options.thread_count, options.context));
  std::map<std::string, std::vector<double>> out;
  for (std::size_t p = 0; p < pairs.size(); ++p) {
    const DifferenceSums& sum = sums[p].sums;
    const double norms = std::sqrt(sum.a_squares) * std::sqrt(sum.b_squares);
    const double cosine = norms > 0 ? sum.dot / norms : 0;
    if (std::fabs(cosine) > kParallel) continue;
    const double angle = std::acos(cosine), whole = std::sin(angle);
    out[inputs[0].names[pairs[p].a]] = {std::sin(angle - angle * ratio) / whole,
                                        std::sin(angle * ratio) / whole};
  }
  return out;
}

Result<WeightsReport> run_blend(const std::vector<std::string>& sources, const std::string& target,
                                Blend blend, const BlendOptions& options) {
  if (options.dtype && !has_float_values(*options.dtype))
    return fail(Error(ErrorCode::kInvalidArgument, "weights cannot be computed in this dtype")
                    .wanted("f64, f32, bf16, f16, f8_e4m3fn or f8_e5m2",
                            std::string(dtype_name(*options.dtype))));
  std::vector<WeightsInput> inputs;
  for (const std::string& source : sources) {
    KILTER_ASSIGN(WeightsInput input, open_weights(source, options.open));
    KILTER_TRY(refuse_scaled_weights(input, blend.request.verb));
    inputs.push_back(std::move(input));
  }
  blend.request.dtype = options.dtype;
  blend.request.allow = options.allow;
  if (blend.slerp_ratio && !options.dry_run) {
    KILTER_ASSIGN(blend.request.own_coefficients,
                  slerp_coefficients(inputs, *blend.slerp_ratio, options));
  }
  KILTER_ASSIGN(BlendPlan plan, plan_blend(inputs, blend.request));
  Recipe recipe;
  recipe.verb = blend.request.verb;
  recipe.own["weights"] = blend.stated;
  if (options.dtype) recipe.own["dtype"] = dtype_name(*options.dtype);
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

Blend fixed_blend(std::string verb, std::vector<double> coefficients, double ratio) {
  Blend blend;
  blend.request.verb = std::move(verb);
  blend.request.coefficients = std::move(coefficients);
  blend.stated = {ratio};
  return blend;
}

Status check_ratio(double ratio) {
  if (std::isfinite(ratio)) return ok();
  return fail(ErrorCode::kInvalidArgument, "the ratio is not a number");
}

}  // namespace

Result<WeightsReport> follow_average(const Recipe& recipe, const std::string& target,
                                     const WeightsOptions& how) {
  KILTER_TRY(check_own_keys(recipe, {"weights", "dtype"}));
  auto options = options_for<BlendOptions>(how);
  KILTER_ASSIGN(options.dtype, own_dtype(recipe, "dtype"));
  KILTER_ASSIGN(const std::vector<double> weights, own_numbers(recipe, "weights"));
  return average(recipe_addresses(recipe), target, weights, options);
}

Result<WeightsReport> follow_merge(const Recipe& recipe, const std::string& target,
                                   const WeightsOptions& how) {
  KILTER_TRY(check_own_keys(recipe, {"weights", "dtype"}));
  auto options = options_for<BlendOptions>(how);
  KILTER_ASSIGN(options.dtype, own_dtype(recipe, "dtype"));
  KILTER_ASSIGN(const std::vector<double> weights, own_numbers(recipe, "weights"));
  const std::vector<std::string> sources = recipe_addresses(recipe);
  const bool added = recipe.verb == "merge-add-difference";
  if (weights.size() != 1 || sources.size() != (added ? 3U : 2U))
    return fail(ErrorCode::kMalformed, "the recipe's inputs or weights do not fit its verb");
  if (added)
    return merge_add_difference(sources[0], sources[1], sources[2], weights[0], target, options);
  if (recipe.verb == "merge-slerp")
    return merge_slerp(sources[0], sources[1], weights[0], target, options);
  return merge_weighted(sources[0], sources[1], weights[0], target, options);
}

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
  ops::Blend blend = ops::fixed_blend("merge-weighted", {1 - ratio, ratio}, ratio);
  return ops::run_blend({a, b}, target, std::move(blend), options);
}

Result<WeightsReport> merge_slerp(const std::string& a, const std::string& b, double ratio,
                                  const std::string& target, const BlendOptions& options) {
  KILTER_TRY(ops::check_ratio(ratio));
  ops::Blend blend = ops::fixed_blend("merge-slerp", {1 - ratio, ratio}, ratio);
  blend.slerp_ratio = ratio;
  return ops::run_blend({a, b}, target, std::move(blend), options);
}

Result<WeightsReport> merge_add_difference(const std::string& a, const std::string& b,
                                           const std::string& c, double ratio,
                                           const std::string& target, const BlendOptions& options) {
  KILTER_TRY(ops::check_ratio(ratio));
  ops::Blend blend = ops::fixed_blend("merge-add-difference", {1, ratio, -ratio}, ratio);
  return ops::run_blend({a, b, c}, target, std::move(blend), options);
}

}  // namespace kilter
