#include "ops/weights/recipe.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/try.h"
#include "io/file_system.h"
#include "io/lasting_paths.h"

namespace kilter::ops {
namespace {

constexpr int kVersion = 1;
constexpr std::array<std::string_view, 5> kCommonKeys = {"kilter_recipe", "program", "verb",
                                                         "inputs", "allow"};

Error malformed(std::string message) {
  return Error(ErrorCode::kMalformed, "the recipe " + std::move(message));
}

Error wrong_type(const char* key, std::string_view wanted) {
  return malformed("has a " + std::string(key) + " that is no " + std::string(wanted));
}

Result<DType> dtype_of(const Json& value) {
  const auto dtype = value.is_string() ? dtype_from_name(value.get<std::string>()) : std::nullopt;
  if (!dtype) return fail(malformed("names a dtype that is none"));
  return *dtype;
}

Status parse_inputs(const Json& list, Recipe& recipe) {
  if (!list.is_array() || list.empty()) return fail(malformed("names no inputs"));
  for (const Json& one : list) {
    if (!one.is_object() || !one.contains("address") || !one["address"].is_string() ||
        !one.contains("digest") || !one["digest"].is_string())
      return fail(malformed("has an input without address or digest"));
    recipe.inputs.push_back({one["address"].get<std::string>(), one["digest"].get<std::string>()});
  }
  return ok();
}

Status parse_allow(const Json& list, Recipe& recipe) {
  if (!list.is_array()) return fail(malformed("has an allow that is no list"));
  for (const Json& one : list) {
    const auto allow = one.is_string() ? allow_from_name(one.get<std::string>()) : std::nullopt;
    if (!allow) return fail(malformed("allows something unknown"));
    recipe.allow.insert(*allow);
  }
  return ok();
}

/// The value of a key of the verb's own; null if there is none.
const Json* own_value(const Recipe& recipe, const char* key) {
  const auto found = recipe.own.find(key);
  return found == recipe.own.end() ? nullptr : &*found;
}

}  // namespace

std::string write_recipe(const Recipe& recipe) {
  Json out = {{"kilter_recipe", kVersion}, {"program", KILTER_VERSION}, {"verb", recipe.verb}};
  Json inputs = Json::array();
  for (const RecipeInput& input : recipe.inputs)
    inputs.push_back({{"address", input.address}, {"digest", input.digest}});
  out["inputs"] = std::move(inputs);
  for (const auto& [key, value] : recipe.own.items()) out[key] = value;
  for (const Allow allow : recipe.allow) out["allow"].push_back(allow_name(allow));
  return dump_json(out, -1);
}

Result<Recipe> parse_recipe(std::string_view text) {
  KILTER_ASSIGN(const Json json, parse_json(text, {.bytes_max = 16U << 20, .depth_max = 16}));
  if (!json.is_object() || !json.contains("kilter_recipe") || !json.contains("verb") ||
      !json["verb"].is_string())
    return fail(malformed("is none"));
  Recipe recipe;
  recipe.verb = json["verb"].get<std::string>();
  if (json["kilter_recipe"] != kVersion)
    return fail(Error(ErrorCode::kUnsupported, "the recipe is of a kind this program cannot follow")
                    .wanted("version 1", dump_json(json["kilter_recipe"], -1))
                    .advise("use a newer Kilter"));
  KILTER_TRY(parse_inputs(json.value("inputs", Json()), recipe));
  if (json.contains("allow")) KILTER_TRY(parse_allow(json["allow"], recipe));
  for (const auto& [key, value] : json.items())
    if (std::ranges::find(kCommonKeys, key) == kCommonKeys.end()) recipe.own[key] = value;
  return recipe;
}

Status check_own_keys(const Recipe& recipe, std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : recipe.own.items())
    if (std::ranges::find(known, key) == known.end())
      return fail(malformed("of " + recipe.verb + " has an unknown key '" + key + "'"));
  return ok();
}

Result<std::vector<double>> own_numbers(const Recipe& recipe, const char* key) {
  std::vector<double> out;
  const Json* const list = own_value(recipe, key);
  if (list == nullptr) return out;
  if (!list->is_array()) return fail(wrong_type(key, "list"));
  for (const Json& one : *list) {
    if (!one.is_number()) return fail(wrong_type(key, "list of numbers"));
    out.push_back(one.get<double>());
  }
  return out;
}

Result<double> own_number(const Recipe& recipe, const char* key, double otherwise) {
  const Json* const value = own_value(recipe, key);
  if (value == nullptr) return otherwise;
  if (!value->is_number()) return fail(wrong_type(key, "number"));
  return value->get<double>();
}

Result<bool> own_flag(const Recipe& recipe, const char* key) {
  const Json* const value = own_value(recipe, key);
  if (value == nullptr) return false;
  if (!value->is_boolean()) return fail(wrong_type(key, "true or false"));
  return value->get<bool>();
}

Result<std::string> own_text(const Recipe& recipe, const char* key, std::string otherwise) {
  const Json* const value = own_value(recipe, key);
  if (value == nullptr) return otherwise;
  if (!value->is_string()) return fail(wrong_type(key, "text"));
  return value->get<std::string>();
}

Result<std::vector<std::string>> own_texts(const Recipe& recipe, const char* key) {
  std::vector<std::string> out;
  const Json* const list = own_value(recipe, key);
  if (list == nullptr) return out;
  if (!list->is_array()) return fail(wrong_type(key, "list"));
  for (const Json& one : *list) {
    if (!one.is_string()) return fail(wrong_type(key, "list of texts"));
    out.push_back(one.get<std::string>());
  }
  return out;
}

Result<std::optional<DType>> own_dtype(const Recipe& recipe, const char* key) {
  const Json* const value = own_value(recipe, key);
  if (value == nullptr) return std::optional<DType>();
  KILTER_ASSIGN(const DType dtype, dtype_of(*value));
  return std::optional(dtype);
}

Result<DTypeRules> own_dtype_rules(const Recipe& recipe, const char* key) {
  DTypeRules out;
  const Json* const list = own_value(recipe, key);
  if (list == nullptr) return out;
  if (!list->is_array()) return fail(wrong_type(key, "list"));
  for (const Json& one : *list) {
    if (!one.is_array() || one.size() != 2 || !one[0].is_string())
      return fail(wrong_type(key, "list of pairs"));
    KILTER_ASSIGN(const DType dtype, dtype_of(one[1]));
    out.emplace_back(one[0].get<std::string>(), dtype);
  }
  return out;
}

Json dtype_rules_json(const DTypeRules& rules) {
  Json out = Json::array();
  for (const auto& [glob, dtype] : rules) out.push_back(Json::array({glob, dtype_name(dtype)}));
  return out;
}

std::vector<std::string> recipe_addresses(const Recipe& recipe) {
  std::vector<std::string> out;
  for (const RecipeInput& input : recipe.inputs) out.push_back(input.address);
  return out;
}

std::string lasting_address(const std::string& given, const OpenOptions& options) {
  auto* const lasting = dynamic_cast<io::LastingPaths*>(options.files);
  const std::string address = lasting != nullptr ? lasting->lasting_path(given) : given;
  if (address.find("://") != std::string::npos) return address;
  std::error_code error;
  const auto path = std::filesystem::absolute(address, error);
  return error ? address : path.lexically_normal().string();
}

Result<std::vector<RecipeInput>> describe_inputs(const std::vector<WeightsInput>& inputs,
                                                 const WeightsOptions& options) {
  std::vector<RecipeInput> out;
  for (const WeightsInput& input : inputs) {
    std::string digest(64, '0');  // of the right length, so that a dry run states the right size
    if (!options.dry_run) {
      KILTER_ASSIGN(digest,
                    content_digest(input.checkpoint, options.thread_count, options.context));
    }
    out.push_back({lasting_address(input.address, options.open), std::move(digest)});
  }
  return out;
}

}  // namespace kilter::ops
