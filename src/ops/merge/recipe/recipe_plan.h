// From a recipe and its models to tensors that methods can merge.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "flow/plan.h"
#include "ops/merge/recipe/recipe_models.h"
#include "ops/merge/recipe/token_alignment.h"
#include "ops/merge/tensor_merge.h"

namespace kilter::ops {

/// An output layer's origin in the model that gives the slice its shape.
struct LayerOrigin {
  std::size_t model = 0;
  std::int64_t layer = 0;
};

struct RecipePlan {
  Plan plan;  ///< outputs lack the kernels of `merges`
  std::vector<WeightsReport::Tensor> tensors;
  std::vector<TensorMerge> merges;
  std::vector<std::size_t> merge_outputs;  ///< for each merge: its output in the plan
  std::vector<LayerOrigin> layers;         ///< of slices of the module "default"
  bool has_head = false;
};

struct RecipePlanRequest {
  const MergeRecipe* recipe = nullptr;
  const std::vector<RecipeModel>* models = nullptr;  ///< as recipe->models() has them
  /// Where the recipe has a tokenizer: what rows become. Must outlive the plan's run.
  const TokenAlignment* tokens = nullptr;
  std::set<Allow> allow;
};

/// Every tensor of every model is accounted for. Errors: kInvalidArgument that names each kind of
/// mismatch with its first tensors and what would allow it; models and bases that do not fit the
/// method; parameters that are missing.
Result<RecipePlan> plan_recipe(const RecipePlanRequest& request);

}  // namespace kilter::ops
