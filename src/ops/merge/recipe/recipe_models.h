// The models that a recipe names, found and opened.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "ops/merge/recipe/layer_stack.h"
#include "ops/merge/recipe/merge_recipe.h"
#include "ops/weights/weights_input.h"

namespace kilter::ops {

/// The path or address that a name stands for: as it is, in `folder` (the recipe's), or in the
/// current one. Nothing is downloaded. Errors: kNotFound that says where was looked; kUnsupported
/// for a model with an adapter.
Result<std::string> find_model(const ModelName& model, const std::string& folder);

struct RecipeModel {
  ModelName name;
  WeightsInput input;
  Json config;  ///< config.json; null if there is none
  std::vector<LayerStack> stacks;

  /// Of config.json, at the top or in its text part.
  const Json* find_config(const char* key) const;
  std::optional<std::int64_t> stated_layers() const;
  /// What config.json says of heads that share the embeddings' numbers.
  std::optional<bool> ties_heads() const;
  /// The one tensor whose rows are the tokens' embeddings, by name; nullopt if none or several.
  std::optional<std::string> token_embedding() const;
};

/// Errors: as open_checkpoint(); kUnsupported for quantized weights, with the tensor or the key of
/// config.json that shows it.
Result<RecipeModel> open_recipe_model(const ModelName& name, const std::string& address,
                                      const OpenOptions& options);

}  // namespace kilter::ops
