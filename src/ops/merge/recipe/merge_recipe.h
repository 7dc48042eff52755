// A merge as mergekit's YAML says it, taken apart and checked word by word.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ops/merge/recipe/yaml_text.h"
#include "ops/merge/tensor_merge.h"

namespace kilter::ops {

struct RecipePlace {
  std::uint32_t line = 0, column = 0;
};

/// A model as the recipe names it.
struct ModelName {
  std::string name;  ///< path, address or a hub's "org/name"
  RecipePlace place;
  bool operator==(const ModelName& other) const { return name == other.name; }
};

/// One number or flag, or several that are spread over the layers; for the tensors whose name has
/// `filter` in it (empty: all).
struct ParameterChoice {
  std::string filter;
  std::vector<YamlNode> values;  ///< scalars, at least one
};
struct Parameter {
  std::string name;
  RecipePlace place;
  std::vector<ParameterChoice> choices;  ///< the first that fits a tensor counts
};
using Parameters = std::vector<Parameter>;

struct LayerRange {
  std::int64_t first = 0, end = 0;
};
struct RecipeSource {
  ModelName model;
  std::optional<LayerRange> layers;  ///< nullopt: the whole model
  Parameters parameters;
};
struct RecipeSlice {
  std::vector<RecipeSource> sources;
  std::optional<ModelName> base;
  Parameters parameters;
  RecipePlace place;
};
/// Whole models (one slice whose sources have no range), or slices.
struct RecipeModule {
  std::string name;  ///< "default": every tensor
  bool whole_models = false;
  std::vector<RecipeSlice> slices;
  Parameters parameters;
  RecipePlace place;
};

/// Where a token's row comes from.
struct TokenRow {
  enum class Kind : std::uint8_t { kDefault, kModel, kModelToken, kZero };
  std::string token;
  Kind kind = Kind::kDefault;
  ModelName model;
  std::string model_token;                     ///< of kModelToken
  std::optional<std::int64_t> model_token_id;  ///< of kModelToken, instead
  bool force = false;
  RecipePlace place;
};
struct RecipeTokenizer {
  enum class Source : std::uint8_t { kUnion, kBase, kModel };
  Source source = Source::kUnion;
  ModelName model;  ///< of kModel
  std::vector<TokenRow> tokens;
  std::uint32_t pad_to_multiple_of = 1;
  RecipePlace place;
};

struct MergeRecipe {
  MergeMethod method = MergeMethod::kLinear;
  MergeCompat compat = MergeCompat::kMergekit;
  std::uint64_t seed = 0;
  std::vector<RecipeModule> modules;
  std::optional<ModelName> base;
  Parameters parameters;
  std::optional<DType> dtype, out_dtype;
  std::optional<RecipeTokenizer> tokenizer;
  std::string chat_template;
  std::string text;  ///< the same recipe, as write_yaml() has it

  /// Every model, once, in the order in which it is named: modules, base, tokenizer.
  std::vector<ModelName> models() const;
};

/// Source: docs/merge-recipes.md. Errors, with line and column: as read_yaml(); kInvalidArgument
/// for keys, parameters and values that are none, with the nearest that is; kUnsupported for what
/// is known and not done (LoRA).
Result<MergeRecipe> parse_merge_recipe(std::string_view text);

/// What is said of a model with an adapter.
Error adapter_error(const ModelName& adapter);

}  // namespace kilter::ops
