// The texts beside merged weights: config.json as the output needs it, and the recipe.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ops/merge/recipe/recipe_plan.h"

namespace kilter::ops {

/// By file name. `base`: the model whose config.json is the pattern.
///
/// config.json: the number of layers, and lists with one entry a layer, are those of the slices;
/// the dtype is the one that most of the output has; heads that were written are not tied.
std::map<std::string, std::string> output_texts(const MergeRecipe& recipe,
                                                const std::vector<RecipeModel>& models,
                                                const RecipePlan& plan, std::size_t base);

}  // namespace kilter::ops
