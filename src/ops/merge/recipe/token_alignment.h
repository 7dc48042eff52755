// Whose row each token of the output has in each model, where vocabularies differ.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "flow/source.h"
#include "ops/merge/recipe/model_tokenizer.h"
#include "ops/merge/recipe/recipe_models.h"

namespace kilter::ops {

/// Where one row comes from.
struct RowOrigin {
  enum class Kind : std::uint8_t { kRow, kZero, kAverage, kPadding };
  Kind kind = Kind::kRow;
  std::uint32_t model = 0;
  std::uint32_t row = 0;  ///< of the model; of kAverage: index into averages
};

struct TokenAlignment {
  std::vector<std::string> tokens;  ///< of the output, by id; empty where an id has none
  std::uint32_t rows = 0;           ///< padded
  std::size_t tokenizer = 0;        ///< the model whose tokenizer the output's begins with
  std::vector<Json> added;          ///< entries that its added_tokens lacks, by id
  std::vector<std::vector<RowOrigin>> origins;  ///< by model (of those merged), `rows` each
  std::vector<std::vector<std::pair<std::uint32_t, std::uint32_t>>> averages;  ///< (model, row)
};

/// `merged`: the models whose weights are merged, as numbers in `models`; `base`: the one of them
/// that base_model names, if any. Source: docs/merge-recipes.md, "Tokenizer".
/// Errors: kUnsupported, kMalformed as read_model_tokenizer(); kInvalidArgument for tokens without
/// a row anywhere.
Result<TokenAlignment> align_tokens(const RecipeTokenizer& recipe,
                                    const std::vector<RecipeModel>& models,
                                    const std::vector<std::size_t>& merged,
                                    std::optional<std::size_t> base);

/// A tensor of a model whose rows are tokens.
struct TokenTensor {
  std::shared_ptr<const Source> source;  ///< null: the model has none
  std::size_t tensor = 0;
};

/// Tensor 0 is that of `model` with the output's rows; rows are read as they are asked for.
/// `alignment` must outlive it. Errors: kInvalidArgument where a row of a model is not there or has
/// another width.
Result<std::shared_ptr<const Source>> make_row_source(const TokenAlignment& alignment,
                                                      std::size_t model, std::string name,
                                                      std::vector<TokenTensor> tensors);

/// Tensor 0 is `source`'s tensor rounded to `dtype`.
std::shared_ptr<const Source> make_rounded_source(std::shared_ptr<const Source> source,
                                                  std::size_t tensor, DType dtype);

}  // namespace kilter::ops
