// Tensors under other names, and in other files.
#include <nlohmann/json.hpp>

#include "kilter/slim.h"

#include "base/try.h"
#include "ops/selection.h"
#include "ops/slim/copied_weights.h"
#include "ops/weights/recipe_verbs.h"

namespace kilter {
namespace ops {
namespace {

using RenameRules = std::vector<std::pair<std::string, std::string>>;

Json rename_rules_json(const RenameRules& rules) {
  Json out = Json::array();
  for (const auto& [from, to] : rules) out.push_back(Json::array({from, to}));
  return out;
}

Result<RenameRules> own_rename_rules(const Recipe& recipe) {
  const Error error(ErrorCode::kMalformed, "the recipe's rename is no list of pairs");
  const Json list = recipe.own.value("rename", Json());
  if (!list.is_array()) return fail(error);
  RenameRules out;
  for (const Json& one : list) {
    if (!one.is_array() || one.size() != 2 || !one[0].is_string() || !one[1].is_string())
      return fail(error);
    out.emplace_back(one[0].get<std::string>(), one[1].get<std::string>());
  }
  return out;
}

Status check_renamed(const std::string& source, const RenameRules& rules,
                     const Selection& selection) {
  for (std::size_t r = 0; r < rules.size(); ++r)
    if (selection.fits[r] == 0)
      return fail(Error(ErrorCode::kInvalidArgument,
                        "--rename " + rules[r].first + "=" + rules[r].second + " fits no tensor")
                      .at_path(source)
                      .advise("see `kilter inspect --tensors`"));
  for (const Selected& one : selection.tensors)
    if (one.name.empty())
      return fail(Error(ErrorCode::kInvalidArgument, "a tensor would have no name left")
                      .at_path(source)
                      .advise("choose other --rename rules"));
  return ok();
}

/// Every tensor, renamed; each rule must have found something to do.
Result<WeightsReport> copy_all(const std::string& source, const std::string& target,
                               const RenameRules& rules, Recipe recipe,
                               const WeightsOptions& options) {
  KILTER_ASSIGN(const WeightsInput input, open_weights(source, options.open, Part::kAll));
  ConvertOptions wanted;
  wanted.rename = rules;
  KILTER_ASSIGN(const Selection selection, select_tensors(input.checkpoint.data(), wanted));
  KILTER_TRY(check_renamed(source, rules, selection));
  std::vector<CopiedTensor> tensors;
  for (const Selected& one : selection.tensors)
    tensors.push_back({one.tensor, one.name, one.reason});
  return copy_weights(input, tensors, {std::move(recipe)}, target, options);
}

}  // namespace

Result<WeightsReport> follow_rename(const Recipe& recipe, const std::string& target,
                                    const WeightsOptions& how) {
  KILTER_TRY(check_own_keys(recipe, {"rename"}));
  auto options = options_for<RenameOptions>(how);
  KILTER_ASSIGN(options.rename, own_rename_rules(recipe));
  return rename_tensors(recipe.inputs.front().address, target, options);
}

Result<WeightsReport> follow_shard(const Recipe& recipe, const std::string& target,
                                   const WeightsOptions& how) {
  KILTER_TRY(check_own_keys(recipe, {}));
  return shard(recipe.inputs.front().address, target, how);
}

}  // namespace ops

Result<WeightsReport> rename_tensors(const std::string& source, const std::string& target,
                                     const RenameOptions& options) {
  if (options.rename.empty())
    return fail(Error(ErrorCode::kInvalidArgument, "nothing to rename")
                    .advise("give --rename FROM=TO or --strip-prefix PREFIX"));
  ops::Recipe recipe;
  recipe.verb = "rename";
  recipe.own["rename"] = ops::rename_rules_json(options.rename);
  return ops::copy_all(source, target, options.rename, std::move(recipe), options);
}

Result<WeightsReport> shard(const std::string& source, const std::string& target,
                            const WeightsOptions& options) {
  ops::Recipe recipe;
  recipe.verb = "shard";
  return ops::copy_all(source, target, {}, std::move(recipe), options);
}

}  // namespace kilter
