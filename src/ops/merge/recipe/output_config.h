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
/// the dtype is the one that most of the output has; heads that were written are not tied; the
/// vocabulary's size and the special tokens' numbers are the tokenizer's (`tokens`, if not null).
std::map<std::string, std::string> output_texts(const MergeRecipe& recipe,
                                                const std::vector<RecipeModel>& models,
                                                const RecipePlan& plan,
                                                const TokenAlignment* tokens, std::size_t base);

}  // namespace kilter::ops
