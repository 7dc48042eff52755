// Two models blended, or a difference added: weighted, slerp, add difference.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <optional>

#include "kilter/merge.h"

#include "base/text.h"
#include "base/try.h"
#include "ops/weights/bake_vae.h"
#include "ops/weights/blend.h"
#include "ops/weights/block_weights.h"
#include "ops/weights/ema_names.h"
#include "ops/weights/recipe_verbs.h"

namespace kilter {
namespace ops {
namespace {

class ModelMerge {
 public:
  ModelMerge(MergeWay way, double ratio, const MergeOptions& options)
      : way_(way), ratio_(ratio), options_(options) {}

  Result<WeightsReport> run(const std::vector<std::string>& sources, const std::string& target) {
    KILTER_ASSIGN(inputs_, open_blend_inputs(sources, "merge", options_.open));
    KILTER_TRY(choose_names());
    KILTER_TRY(find_ratios());
    KILTER_ASSIGN(const BlendRequest request, make_request());
    KILTER_ASSIGN(BlendPlan plan, plan_blend(inputs_, request));
    if (way_ == MergeWay::kSlerp) plan.passes_before = 1;
    if (!options_.vae.empty()) {
      KILTER_ASSIGN(WeightsInput vae, open_weights(options_.vae, options_.open));
      KILTER_TRY(bake_vae(vae, options_, plan));
      inputs_.push_back(std::move(vae));
    }
    WeightsReport report;
    KILTER_TRY(write_blend(inputs_, std::move(plan), make_recipe(), target, options_, report));
    return report;
  }

 private:
  /// Averaged weights and what is discarded have no names any more when the inputs are matched.
  Status choose_names() {
    std::vector<bool> used(options_.discard.size(), false);
    for (WeightsInput& input : inputs_) {
      choose_ema_names(input, options_.ema);
      for (std::size_t k = 0; k < options_.discard.size(); ++k)
        for (std::string& name : input.names)
          if (!name.empty() && glob_match(options_.discard[k], name)) {
            input.by_name.erase(name);
            name.clear();
            used[k] = true;
          }
    }
    const auto unused = std::ranges::find(used, false);
    if (unused == used.end()) return ok();
    const auto k = static_cast<std::size_t>(unused - used.begin());
    return fail(
        Error(ErrorCode::kInvalidArgument, "--discard " + options_.discard[k] + " fits no tensor")
            .advise("see `kilter inspect --tensors`"));
  }

  /// Of every tensor of the first model.
  Status find_ratios() {
    std::optional<BlockWeights> weights;
    const BlockMap map(inputs_.front().names);
    if (!options_.block_weights.empty()) {
      KILTER_ASSIGN(weights, BlockWeights::parse(options_.block_weights, ratio_, map));
      block_values_ = weights->values();
    }
    for (const std::string& name : inputs_.front().names) {
      if (name.empty()) continue;
      ratios_[name] =
          weights ? weights->at(map.place(plain_name_of_ema(inputs_.front(), name))) : ratio_;
    }
    return ok();
  }

  Result<BlendRequest> make_request() const {
    BlendRequest request;
    request.verb = "merge-" + std::string(merge_way_name(way_));
    request.dtype = options_.dtype;
    request.allow = options_.allow;
    request.widen_channels = true;
    request.coefficients = coefficients(ratio_);
    if (way_ == MergeWay::kSlerp && !options_.dry_run) {
      KILTER_ASSIGN(request.own_coefficients,
                    slerp_coefficients(inputs_, ratios_, options_.thread_count, options_.context));
    } else {
      for (const auto& [name, ratio] : ratios_)
        request.own_coefficients[name] = coefficients(ratio);
    }
    return request;
  }

  std::vector<double> coefficients(double ratio) const {
    if (way_ == MergeWay::kAddDifference) return {1, ratio, -ratio};
    return {1 - ratio, ratio};
  }

  Recipe make_recipe() const {
    Recipe recipe;
    recipe.verb = "merge-" + std::string(merge_way_name(way_));
    recipe.own["weights"] = Json::array({ratio_});
    if (!block_values_.empty()) recipe.own["blocks"] = options_.block_weights;
    if (options_.ema != EmaWeights::kDrop) recipe.own["ema"] = ema_weights_name(options_.ema);
    if (!options_.discard.empty()) recipe.own["discard"] = options_.discard;
    if (!options_.vae.empty()) recipe.own["vae"] = true;  // the last input
    return recipe;
  }

  MergeWay way_;
  double ratio_;
  const MergeOptions& options_;
  std::vector<WeightsInput> inputs_;
  std::map<std::string, double> ratios_;
  std::vector<double> block_values_;
};

}  // namespace

Result<WeightsReport> follow_merge(const Recipe& recipe, const std::string& target,
                                   const WeightsOptions& how) {
  KILTER_TRY(check_own_keys(recipe, {"weights", "dtype", "blocks", "ema", "discard", "vae"}));
  auto options = options_for<MergeOptions>(how);
  KILTER_ASSIGN(options.dtype, own_dtype(recipe, "dtype"));
  KILTER_ASSIGN(const std::vector<double> weights, own_numbers(recipe, "weights"));
  KILTER_ASSIGN(options.block_weights, own_text(recipe, "blocks"));
  KILTER_ASSIGN(options.discard, own_texts(recipe, "discard"));
  KILTER_ASSIGN(const std::string ema, own_text(recipe, "ema", "drop"));
  KILTER_ASSIGN(const bool with_vae, own_flag(recipe, "vae"));
  const auto way = merge_way_from_name(std::string_view(recipe.verb).substr(6));
  const auto ema_weights = ema_weights_from_name(ema);
  std::vector<std::string> sources = recipe_addresses(recipe);
  const std::size_t wanted = way == MergeWay::kAddDifference ? 3 : 2;
  if (!way || !ema_weights || weights.size() != 1 || sources.size() != wanted + (with_vae ? 1 : 0))
    return fail(ErrorCode::kMalformed, "the recipe's inputs or weights do not fit its verb");
  options.ema = *ema_weights;
  if (with_vae) {
    options.vae = sources.back();
    sources.pop_back();
  }
  return merge_models(*way, sources, weights[0], target, options);
}

}  // namespace ops

std::string_view merge_way_name(MergeWay way) {
  switch (way) {
    case MergeWay::kWeighted:
      return "weighted";
    case MergeWay::kSlerp:
      return "slerp";
    case MergeWay::kAddDifference:
      break;
  }
  return "add-difference";
}

std::optional<MergeWay> merge_way_from_name(std::string_view name) {
  for (const MergeWay way : {MergeWay::kWeighted, MergeWay::kSlerp, MergeWay::kAddDifference})
    if (merge_way_name(way) == name) return way;
  return std::nullopt;
}

std::string_view ema_weights_name(EmaWeights ema) {
  switch (ema) {
    case EmaWeights::kDrop:
      return "drop";
    case EmaWeights::kKeep:
      return "keep";
    case EmaWeights::kUse:
      break;
  }
  return "use";
}

std::optional<EmaWeights> ema_weights_from_name(std::string_view name) {
  for (const EmaWeights ema : {EmaWeights::kDrop, EmaWeights::kKeep, EmaWeights::kUse})
    if (ema_weights_name(ema) == name) return ema;
  return std::nullopt;
}

Result<WeightsReport> merge_models(MergeWay way, const std::vector<std::string>& sources,
                                   double ratio, const std::string& target,
                                   const MergeOptions& options) {
  if (!std::isfinite(ratio)) return fail(ErrorCode::kInvalidArgument, "the ratio is not a number");
  const std::size_t wanted = way == MergeWay::kAddDifference ? 3 : 2;
  if (sources.size() != wanted)
    return fail(Error(ErrorCode::kInvalidArgument, "the count of models does not fit the merge")
                    .wanted(std::to_string(wanted), std::to_string(sources.size())));
  KILTER_TRY(ops::check_blend_dtype(options));
  return ops::ModelMerge(way, ratio, options).run(sources, target);
}

}  // namespace kilter
