// Every verb that recipes know, and what follows it. Each function stands in its operation's file.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "ops/weights/recipe.h"

namespace kilter::ops {

/// Makes what the recipe says into `target`. `how` names no content; its `allow` is the recipe's.
/// Errors: kMalformed for keys or inputs that do not fit the verb; as the operation itself.
using Follow = Result<WeightsReport> (*)(const Recipe& recipe, const std::string& target,
                                         const WeightsOptions& how);
struct RecipeVerb {
  std::string_view name;
  Follow follow;
};
std::span<const RecipeVerb> recipe_verbs();

/// In the table, or among `further` verbs. Errors: kUnsupported if no row has the recipe's verb.
Result<Follow> find_follow(const Recipe& recipe, std::span<const RecipeVerb> further = {});

/// reproduce(), which also knows the verbs of a floor above.
Result<ReproduceReport> reproduce_with(const std::string& address, const std::string& target,
                                       const WeightsOptions& options,
                                       std::span<const RecipeVerb> further);

Result<WeightsReport> follow_cast(const Recipe& recipe, const std::string& target,
                                  const WeightsOptions& how);
Result<WeightsReport> follow_average(const Recipe& recipe, const std::string& target,
                                     const WeightsOptions& how);
/// "merge-weighted", "merge-slerp", "merge-add-difference".
Result<WeightsReport> follow_merge(const Recipe& recipe, const std::string& target,
                                   const WeightsOptions& how);
Result<WeightsReport> follow_merge_recipe(const Recipe& recipe, const std::string& target,
                                          const WeightsOptions& how);

Result<WeightsReport> follow_adapter_apply(const Recipe& recipe, const std::string& target,
                                           const WeightsOptions& how);
Result<WeightsReport> follow_adapter_convert(const Recipe& recipe, const std::string& target,
                                             const WeightsOptions& how);
Result<WeightsReport> follow_adapter_extract(const Recipe& recipe, const std::string& target,
                                             const WeightsOptions& how);
Result<WeightsReport> follow_adapter_resize(const Recipe& recipe, const std::string& target,
                                            const WeightsOptions& how);
Result<WeightsReport> follow_adapter_combine(const Recipe& recipe, const std::string& target,
                                             const WeightsOptions& how);

Result<WeightsReport> follow_prune(const Recipe& recipe, const std::string& target,
                                   const WeightsOptions& how);
Result<WeightsReport> follow_strip(const Recipe& recipe, const std::string& target,
                                   const WeightsOptions& how);
Result<WeightsReport> follow_rename(const Recipe& recipe, const std::string& target,
                                    const WeightsOptions& how);
Result<WeightsReport> follow_shard(const Recipe& recipe, const std::string& target,
                                   const WeightsOptions& how);

Result<WeightsReport> follow_average_federated(const Recipe& recipe, const std::string& target,
                                               const WeightsOptions& how);
Result<WeightsReport> follow_ema(const Recipe& recipe, const std::string& target,
                                 const WeightsOptions& how);

/// An operation's options that say the same as `how`.
template <typename Options>
Options options_for(const WeightsOptions& how) {
  Options options;
  static_cast<WeightsOptions&>(options) = how;
  return options;
}

}  // namespace kilter::ops
