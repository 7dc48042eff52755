#include "ops/merge/recipe/recipe_parameters.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/text.h"
#include "base/try.h"
#include "formats/nearest_names.h"

namespace kilter::ops {
namespace {

using Scope = ParameterScope;

constexpr ParameterRule kWeight{"weight", Scope::kTerm, false, true};
constexpr ParameterRule kDensity{"density", Scope::kTerm};
constexpr ParameterRule kNormalize{"normalize", Scope::kTensor, true};
constexpr ParameterRule kRescale{"rescale", Scope::kTensor, true};
constexpr ParameterRule kLambda{"lambda", Scope::kTensor};
constexpr ParameterRule kT{"t", Scope::kTensor, false, true};
constexpr ParameterRule kInt8Mask{"int8_mask", Scope::kNone, true};

constexpr std::array kLinearRules = {kWeight, kNormalize};
constexpr std::array kSlerpRules = {kT};
constexpr std::array kNuslerpRules = {kWeight,
                                      ParameterRule{"nuslerp_row_wise", Scope::kTensor, true},
                                      ParameterRule{"nuslerp_flatten", Scope::kTensor, true}};
constexpr std::array kMultislerpRules = {kWeight,
                                         ParameterRule{"normalize_weights", Scope::kTensor, true},
                                         ParameterRule{"eps", Scope::kTensor}};
constexpr std::array kKarcherRules = {ParameterRule{"max_iter", Scope::kTensor},
                                      ParameterRule{"tol", Scope::kTensor}};
constexpr std::array kTaskRules = {kWeight, kDensity, kNormalize, kRescale, kLambda, kInt8Mask};
constexpr std::array kBreadcrumbsRules = {kWeight,
                                          kDensity,
                                          kNormalize,
                                          kRescale,
                                          kLambda,
                                          kInt8Mask,
                                          ParameterRule{"gamma", Scope::kTerm}};
constexpr std::array kDellaRules = {kWeight,
                                    kDensity,
                                    kNormalize,
                                    kRescale,
                                    kLambda,
                                    kInt8Mask,
                                    ParameterRule{"epsilon", Scope::kTerm}};
constexpr std::array kStockRules = {ParameterRule{"filter_wise", Scope::kTensor, true}};
constexpr std::array kSceRules = {ParameterRule{"select_topk", Scope::kTensor}, kInt8Mask};
constexpr std::array kRamRules = {ParameterRule{"epsilon", Scope::kTensor}};
constexpr std::array kRamPlusRules = {ParameterRule{"epsilon", Scope::kTensor},
                                      ParameterRule{"r", Scope::kTensor},
                                      ParameterRule{"alpha", Scope::kTensor}};
constexpr std::array kPassthroughRules = {ParameterRule{"scale", Scope::kTerm}};

constexpr std::string_view kParameterNames[] = {
    "weight",   "density", "gamma",           "epsilon",          "scale",
    "t",        "lambda",  "normalize",       "rescale",          "int8_mask",
    "max_iter", "tol",     "select_topk",     "filter_wise",      "eps",
    "r",        "alpha",   "nuslerp_flatten", "nuslerp_row_wise", "normalize_weights"};

Error bad_value(const Parameter& parameter, const YamlNode& node, std::string_view wanted) {
  Error error = yaml_error(ErrorCode::kInvalidArgument, node.line, node.column,
                           parameter.name + " is no " + std::string(wanted));
  error.found = escape_text(node.text, 60);
  return error;
}

std::optional<bool> flag_of(const YamlNode& node) {
  const std::string word = ascii_lower(node.text);
  constexpr std::string_view kYes[] = {"true", "yes", "on", "1", "1.0"};
  constexpr std::string_view kNo[] = {"false", "no", "off", "0", "0.0"};
  if (std::ranges::find(kYes, word) != std::end(kYes)) return true;
  if (std::ranges::find(kNo, word) != std::end(kNo)) return false;
  return std::nullopt;
}

Result<double> number_of(const Parameter& parameter, const YamlNode& node) {
  std::string_view text = node.text;
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc() && stopped == end && std::isfinite(value)) return value;
  const std::optional<bool> flag = flag_of(node);  // true is 1, as in Python
  if (!flag) return fail(bad_value(parameter, node, "number"));
  return *flag ? 1.0 : 0.0;
}

struct Found {
  const Parameter* parameter = nullptr;
  const ParameterChoice* choice = nullptr;
};

/// The first choice that fits at the first level that has one: where none of a level's filters
/// fits, the next level is asked.
Found find_choice(std::string_view name, const ParameterPlace& place) {
  for (const Parameters* const level : place.levels) {
    const auto found = std::ranges::find(*level, name, &Parameter::name);
    if (found == level->end()) continue;
    for (const ParameterChoice& choice : found->choices)
      if (choice.filter.empty() || choice.filter == "*" ||
          place.tensor.find(choice.filter) != std::string_view::npos)
        return {&*found, &choice};
  }
  return {};
}

Result<double> number_at(const Found& found, double position) {
  const std::vector<YamlNode>& values = found.choice->values;
  const double at = position * static_cast<double>(values.size() - 1);
  const std::size_t low = std::min(static_cast<std::size_t>(at), values.size() - 1);
  KILTER_ASSIGN(const double first, number_of(*found.parameter, values[low]));
  if (low + 1 == values.size()) return first;
  KILTER_ASSIGN(const double second, number_of(*found.parameter, values[low + 1]));
  const double part = at - static_cast<double>(low);
  return (1 - part) * first + part * second;
}

/// Flags do not blend: each holds until the next begins.
Result<bool> flag_at(const Found& found, double position) {
  const std::vector<YamlNode>& values = found.choice->values;
  const double at = position * static_cast<double>(values.size() - 1);
  const YamlNode& value = values[std::min(static_cast<std::size_t>(at), values.size() - 1)];
  const std::optional<bool> flag = flag_of(value);
  if (!flag) return fail(bad_value(*found.parameter, value, "true or false"));
  return *flag;
}

double* term_number(std::string_view name, TermParameters& out) {
  if (name == "weight") return &out.weight;
  if (name == "density") return &out.density;
  if (name == "gamma") return &out.gamma;
  if (name == "epsilon") return &out.epsilon;
  return name == "scale" ? &out.scale : nullptr;
}

double* tensor_number(MergeMethod method, std::string_view name, MergeParameters& out) {
  if (name == "t") return &out.t;
  if (name == "lambda") return &out.lambda;
  if (name == "eps") return &out.epsilon;
  if (name == "tol") return &out.tolerance;
  if (name == "select_topk") return &out.select_topk;
  if (name == "r") return &out.ram_r;
  if (name == "alpha") return &out.ram_alpha;
  const bool ram = method == MergeMethod::kRam || method == MergeMethod::kRamPlus;
  return name == "epsilon" && ram ? &out.ram_epsilon : nullptr;
}

bool* tensor_flag(std::string_view name, MergeParameters& out) {
  if (name == "normalize" || name == "normalize_weights") return &out.normalize;
  if (name == "rescale") return &out.rescale;
  if (name == "nuslerp_flatten") return &out.nuslerp_flatten;
  if (name == "nuslerp_row_wise") return &out.nuslerp_row_wise;
  return name == "filter_wise" ? &out.filter_wise : nullptr;
}

Status read_count(const Found& found, double position, std::uint32_t& out) {
  constexpr double kMost = 1e6;
  KILTER_ASSIGN(const double value, number_at(found, position));
  if (value != std::floor(value) || value < 0 || value > kMost)
    return fail(bad_value(*found.parameter, found.choice->values.front(),
                          "whole number between 0 and 1,000,000"));
  out = static_cast<std::uint32_t>(value);
  return ok();
}

Error missing_parameter(const ParameterRule& rule, MergeMethod method,
                        const ParameterPlace& place) {
  Error error(ErrorCode::kInvalidArgument, std::string(merge_method_name(method)) + " wants '" +
                                               std::string(rule.name) +
                                               "', and the recipe states none here");
  error.tensor = place.tensor;
  error.hint = "state it under `parameters` of the recipe, the model or the slice";
  return error;
}

}  // namespace

std::span<const ParameterRule> parameter_rules(MergeMethod method) {
  switch (method) {
    case MergeMethod::kLinear:
      return kLinearRules;
    case MergeMethod::kSlerp:
    case MergeMethod::kNearswap:
      return kSlerpRules;
    case MergeMethod::kNuslerp:
      return kNuslerpRules;
    case MergeMethod::kMultislerp:
      return kMultislerpRules;
    case MergeMethod::kKarcher:
      return kKarcherRules;
    case MergeMethod::kTaskArithmetic:
    case MergeMethod::kTies:
    case MergeMethod::kDareLinear:
    case MergeMethod::kDareTies:
      return kTaskRules;
    case MergeMethod::kBreadcrumbs:
    case MergeMethod::kBreadcrumbsTies:
      return kBreadcrumbsRules;
    case MergeMethod::kDella:
    case MergeMethod::kDellaLinear:
      return kDellaRules;
    case MergeMethod::kModelStock:
      return kStockRules;
    case MergeMethod::kSce:
      return kSceRules;
    case MergeMethod::kArceeFusion:
      return {};
    case MergeMethod::kPassthrough:
      return kPassthroughRules;
    case MergeMethod::kRam:
      return kRamRules;
    case MergeMethod::kRamPlus:
      return kRamPlusRules;
  }
  return {};
}

bool is_parameter_name(std::string_view name) {
  return std::ranges::find(kParameterNames, name) != std::end(kParameterNames);
}

std::string nearest_parameter(std::string_view name) {
  constexpr std::size_t kFar = 3;
  std::string_view best;
  std::size_t best_distance = kFar + 1;
  for (const std::string_view one : kParameterNames) {
    const std::size_t distance = formats::edit_distance(one, name, kFar);
    if (distance < best_distance && distance < one.size()) best = one, best_distance = distance;
  }
  return std::string(best);
}

Status read_term_parameters(MergeMethod method, const ParameterPlace& place, TermParameters& out) {
  for (const ParameterRule& rule : parameter_rules(method)) {
    if (rule.scope != ParameterScope::kTerm) continue;
    const Found found = find_choice(rule.name, place);
    if (found.choice == nullptr) {
      if (rule.required) return fail(missing_parameter(rule, method, place));
      continue;
    }
    KILTER_ASSIGN(*term_number(rule.name, out), number_at(found, place.position));
  }
  return ok();
}

Status read_tensor_parameters(MergeMethod method, const ParameterPlace& place,
                              MergeParameters& out) {
  for (const ParameterRule& rule : parameter_rules(method)) {
    if (rule.scope != ParameterScope::kTensor) continue;
    const Found found = find_choice(rule.name, place);
    if (found.choice == nullptr) {
      if (rule.required) return fail(missing_parameter(rule, method, place));
    } else if (rule.is_flag) {
      KILTER_ASSIGN(*tensor_flag(rule.name, out), flag_at(found, place.position));
    } else if (rule.name == "max_iter") {
      KILTER_TRY(read_count(found, place.position, out.max_iterations));
    } else {
      KILTER_ASSIGN(*tensor_number(method, rule.name, out), number_at(found, place.position));
    }
  }
  return ok();
}

}  // namespace kilter::ops
