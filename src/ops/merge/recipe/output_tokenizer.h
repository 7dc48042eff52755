// The files of the tokenizer beside merged weights.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ops/merge/recipe/token_alignment.h"

namespace kilter::ops {

/// By file name; empty: no file of that name. `alignment`: null where the recipe says nothing of
/// tokenizers; then only the chat template may change. `base`: whose files go along otherwise.
/// Errors: kInvalidArgument for a chat template that is none; as read_companion().
Result<std::map<std::string, std::string>> tokenizer_texts(const MergeRecipe& recipe,
                                                           const std::vector<RecipeModel>& models,
                                                           const TokenAlignment* alignment,
                                                           std::size_t base);

/// "alpaca", "chatml", "llama3", "mistral"; empty for other names.
std::string_view named_chat_template(std::string_view name);

}  // namespace kilter::ops
