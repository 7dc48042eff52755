// Moving averages over a series of checkpoints: one blend in closed form.
#include <cmath>

#include <nlohmann/json.hpp>

#include "kilter/series.h"

#include "base/json.h"
#include "base/try.h"
#include "ops/weights/blend.h"
#include "ops/weights/recipe_verbs.h"

namespace kilter {
namespace ops {
namespace {

/// Below this part of the sum of all, a coefficient changes nothing that rounding to binary64
/// would not: its checkpoint is not read.
constexpr double kNegligible = 0x1p-60;

Result<EmaReport> run_ema(const std::vector<std::string>& sources,
                          const std::vector<double>& coefficients, const std::string& profile,
                          const std::string& target, const BlendOptions& options) {
  KILTER_TRY(check_blend_dtype(options));
  EmaReport report;
  report.coefficients = coefficients;
  double total = 0;
  for (const double one : coefficients) total += std::fabs(one);
  BlendRequest request;
  request.verb = "ema";
  request.rescale_for_missing = true;
  std::vector<WeightsInput> inputs;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    if (std::fabs(coefficients[i]) < kNegligible * total) {
      report.dropped.push_back(sources[i]);
      continue;
    }
    KILTER_ASSIGN(WeightsInput input, open_weights(sources[i], options.open));
    inputs.push_back(std::move(input));
    request.coefficients.push_back(coefficients[i]);
  }
  Recipe recipe;
  recipe.own["coefficients"] = request.coefficients;
  recipe.own["profile"] = profile;
  report.sources = sources;
  KILTER_TRY(run_blend(inputs, std::move(request), std::move(recipe), target, options, report));
  return report;
}

std::string profile_text(const EmaProfile& profile) {
  Json out;
  const bool power = profile.kind == EmaProfile::Kind::kPower;
  out["kind"] = power                                       ? "power"
                : profile.kind == EmaProfile::Kind::kWarmUp ? "warm-up"
                                                            : "constant";
  out[power ? "gamma" : "decay"] = power ? profile.gamma : profile.decay;
  if (profile.correct_bias) out["correct_bias"] = true;
  return dump_json(out, -1);
}

}  // namespace

Result<WeightsReport> follow_ema(const Recipe& recipe, const std::string& target,
                                 const WeightsOptions& how) {
  KILTER_TRY(check_own_keys(recipe, {"coefficients", "profile", "dtype"}));
  auto options = options_for<BlendOptions>(how);
  KILTER_ASSIGN(options.dtype, own_dtype(recipe, "dtype"));
  KILTER_ASSIGN(const std::vector<double> coefficients, own_numbers(recipe, "coefficients"));
  KILTER_ASSIGN(const std::string profile, own_text(recipe, "profile"));
  if (coefficients.size() != recipe.inputs.size())
    return fail(ErrorCode::kMalformed, "the recipe's coefficients do not fit its inputs");
  KILTER_ASSIGN(EmaReport report,
                run_ema(recipe_addresses(recipe), coefficients, profile, target, options));
  return static_cast<WeightsReport&&>(report);
}

}  // namespace ops

Result<EmaReport> ema(const std::vector<std::string>& sources, const std::string& target,
                      const EmaProfile& profile, const BlendOptions& options) {
  KILTER_ASSIGN(const std::vector<double> coefficients, ema_coefficients(sources.size(), profile));
  return ops::run_ema(sources, coefficients, ops::profile_text(profile), target, options);
}

Result<EmaReport> ema_post_hoc(const std::vector<std::string>& sources,
                               const std::vector<PowerEma>& stored, const PowerEma& wanted,
                               const std::string& target, const BlendOptions& options) {
  if (stored.size() != sources.size())
    return fail(Error(ErrorCode::kInvalidArgument, "there must be one profile for each input")
                    .wanted(std::to_string(sources.size()), std::to_string(stored.size())));
  KILTER_ASSIGN(const EmaFit fit, fit_power_ema(stored, wanted));
  Json said = {{"kind", "post-hoc"}, {"sigma_rel", wanted.sigma_rel}, {"at", wanted.at}};
  for (const PowerEma& one : stored) said["stored"].push_back({one.sigma_rel, one.at});
  KILTER_ASSIGN(EmaReport report,
                ops::run_ema(sources, fit.coefficients, dump_json(said, -1), target, options));
  report.fit_error = fit.error;
  return report;
}

std::string ema_json(const EmaReport& report) {
  auto out = parse_json(weights_json(report));
  KILTER_CHECK(out.has_value());
  (*out)["coefficients"] = report.coefficients;
  (*out)["dropped"] = report.dropped;
  if (report.fit_error) (*out)["fit_error"] = *report.fit_error;
  return dump_json(*out);
}

}  // namespace kilter
