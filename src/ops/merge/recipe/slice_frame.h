// Who takes part in the merge of a slice, and as what.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ops/merge/recipe/merge_recipe.h"
#include "ops/merge/recipe/model_layout.h"

namespace kilter::ops {

struct SliceInput {
  std::size_t model = 0;                 ///< in the recipe's list of models
  const RecipeSource* source = nullptr;  ///< null: the base, which `models` does not list
  const ModelLayout* layout = nullptr;
  std::int64_t first_layer = 0;
};

struct SliceFrame {
  const RecipeModule* module = nullptr;
  const RecipeSlice* slice = nullptr;
  std::vector<SliceInput> inputs;
  std::optional<std::size_t> base;  ///< among the inputs; only where the method has one
  std::int64_t layers = 0;          ///< 0: whole models

  /// Whose tensors say what there is.
  const SliceInput& reference() const { return inputs[base.value_or(0)]; }
};

/// `layouts`: one for each of `models`. Errors, with line and column: kInvalidArgument for a base
/// that is absent, too few or too many models, layers that a model does not have.
Result<SliceFrame> frame_slice(const MergeRecipe& recipe, const RecipeModule& module,
                               const RecipeSlice& slice, const std::vector<ModelName>& models,
                               const std::vector<ModelLayout>& layouts);

}  // namespace kilter::ops
