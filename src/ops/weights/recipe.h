// How an output was made, in words a program can follow. Source: spec/recipe.md.
#pragma once

#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "kilter/weights.h"

#include "base/json.h"
#include "ops/weights/weights_input.h"

namespace kilter::ops {

struct RecipeInput {
  std::string address;
  std::string digest;  ///< content_digest()
};

/// Everything that names content, and nothing else.
struct Recipe {
  std::string verb;  ///< "cast", "average", "merge-weighted", … : recipe_verbs.h has them all
  std::vector<RecipeInput> inputs;
  std::set<Allow> allow;
  /// What else the verb was told, by the verb's own keys ("weights", "dtype", …). Numbers are kept
  /// to the last bit. No key of this struct's members may be among them.
  Json own = Json::object();
};

/// Compact JSON, the same for the same recipe.
std::string write_recipe(const Recipe& recipe);
/// The verb's own keys are read by what follows the recipe, with the functions below.
/// Errors: kMalformed; kUnsupported for another version.
Result<Recipe> parse_recipe(std::string_view text);

/// Errors: kMalformed that names a key of `own` that is none of these.
Status check_own_keys(const Recipe& recipe, std::initializer_list<std::string_view> known);
/// Absent: empty, nullopt or `otherwise`. Errors: kMalformed for another type.
Result<std::vector<double>> own_numbers(const Recipe& recipe, const char* key);
Result<double> own_number(const Recipe& recipe, const char* key, double otherwise);
Result<bool> own_flag(const Recipe& recipe, const char* key);
Result<std::string> own_text(const Recipe& recipe, const char* key, std::string otherwise = "");
Result<std::vector<std::string>> own_texts(const Recipe& recipe, const char* key);
Result<std::optional<DType>> own_dtype(const Recipe& recipe, const char* key);
/// [["GLOB", "dtype"], …]
using DTypeRules = std::vector<std::pair<std::string, DType>>;
Result<DTypeRules> own_dtype_rules(const Recipe& recipe, const char* key);
Json dtype_rules_json(const DTypeRules& rules);

/// Addresses of the inputs, in order.
std::vector<std::string> recipe_addresses(const Recipe& recipe);

/// An address that still leads there from another folder, and when a store's branch has moved on:
/// a commit by its digest.
std::string lasting_address(const std::string& address, const OpenOptions& options);

/// The recipe that a checkpoint carries: in the metadata, in a folder's NAME.recipe.json, or in the
/// one beside a file. Errors: kNotFound.
Result<std::string> find_recipe(const Checkpoint& checkpoint, const OpenOptions& options);

/// Each input with its address (absolute, if it is a path) and digest; zeros in a dry run.
Result<std::vector<RecipeInput>> describe_inputs(const std::vector<WeightsInput>& inputs,
                                                 const WeightsOptions& options);

}  // namespace kilter::ops
