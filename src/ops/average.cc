// The weighted mean of checkpoints of one model.
#include <cmath>

#include "kilter/weights.h"

#include "base/try.h"
#include "ops/weights/blend.h"
#include "ops/weights/recipe_verbs.h"

namespace kilter {

Result<WeightsReport> average(const std::vector<std::string>& sources, const std::string& target,
                              const std::vector<double>& weights, const BlendOptions& options) {
  if (sources.empty()) return fail(ErrorCode::kInvalidArgument, "nothing to average");
  if (!weights.empty() && weights.size() != sources.size())
    return fail(
        Error(ErrorCode::kInvalidArgument, "there must be one weight for each input")
            .wanted(std::to_string(sources.size()) + " weights", std::to_string(weights.size())));
  KILTER_TRY(ops::check_blend_dtype(options));
  const std::vector<double> stated =
      weights.empty() ? std::vector<double>(sources.size(), 1.0) : weights;
  double sum = 0;
  for (const double weight : stated) sum += weight;
  if (!std::isfinite(sum) || sum == 0)
    return fail(ErrorCode::kInvalidArgument, "the weights' sum is 0 or not a number");
  KILTER_ASSIGN(const std::vector<ops::WeightsInput> inputs,
                ops::open_blend_inputs(sources, "average", options.open));
  ops::BlendRequest request;
  request.verb = "average";
  request.rescale_for_missing = true;
  for (const double weight : stated) request.coefficients.push_back(weight / sum);
  ops::Recipe recipe;
  recipe.own["weights"] = stated;
  WeightsReport report;
  KILTER_TRY(
      ops::run_blend(inputs, std::move(request), std::move(recipe), target, options, report));
  return report;
}

namespace ops {

Result<WeightsReport> follow_average(const Recipe& recipe, const std::string& target,
                                     const WeightsOptions& how) {
  KILTER_TRY(check_own_keys(recipe, {"weights", "dtype"}));
  auto options = options_for<BlendOptions>(how);
  KILTER_ASSIGN(options.dtype, own_dtype(recipe, "dtype"));
  KILTER_ASSIGN(const std::vector<double> weights, own_numbers(recipe, "weights"));
  return average(recipe_addresses(recipe), target, weights, options);
}

}  // namespace ops
}  // namespace kilter
