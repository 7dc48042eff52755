// kilter merge RECIPE.yml: merges as mergekit's YAML says them. Owned by the floor `ops`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kilter/weights.h"

namespace kilter {

/// A recipe's text, and the folder from which it names models.
struct MergeRecipeText {
  std::string text;
  std::string folder;
  std::string path;  ///< for messages
};
/// Errors: kNotFound, kIo; kLimitExceeded above 1 MiB.
Result<MergeRecipeText> read_merge_recipe(const std::string& path);

/// The paths and addresses of every model that the recipe names, each once.
/// Errors: as merge_recipe(), as far as they show without opening a model.
Result<std::vector<std::string>> merge_recipe_sources(const MergeRecipeText& recipe);

/// Reads the recipe, matches all its models, and writes what it says into `target`: the weights,
/// and into a folder config, tokenizer and what else the base (or else the first model) has beside
/// them.
///
/// Errors, with path, line and column of the recipe where they are its fault: kMalformed for text
/// that is no YAML; kInvalidArgument for unknown keys, parameters or methods, and for models that
/// do not fit together; kUnsupported for adapters and quantized models; kNotFound for models that
/// are not here; else as average(). Source: docs/merge-recipes.md.
Result<WeightsReport> merge_recipe(const MergeRecipeText& recipe, const std::string& target,
                                   const WeightsOptions& options = {});

}  // namespace kilter
