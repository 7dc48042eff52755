// A model's tokenizer, as far as merges need it: which token has which row.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "ops/weights/weights_input.h"

namespace kilter::ops {

struct ModelTokenizer {
  std::unordered_map<std::string, std::uint32_t> ids;
  std::vector<std::string> plain;  ///< of the vocabulary, by id
  std::vector<Json> added;         ///< entries of added_tokens, by id

  std::optional<std::uint32_t> find(const std::string& token) const;
  std::uint32_t rows() const;  ///< one more than the highest id
};

/// Errors: kUnsupported if there is no tokenizer.json, or its model is of a kind without a
/// vocabulary; kMalformed with the file's path.
Result<ModelTokenizer> read_model_tokenizer(const WeightsInput& input);

/// A file beside the weights; nullopt if there is none. Errors: kLimitExceeded, kIo.
Result<std::optional<std::string>> read_companion(const WeightsInput& input, std::string_view name);

/// Files that belong to the tokenizer and not to the weights.
bool is_tokenizer_file(std::string_view name);

}  // namespace kilter::ops
