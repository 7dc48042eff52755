#include "ops/weights/recipe.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/try.h"

namespace kilter::ops {
namespace {

constexpr int kVersion = 1;
constexpr std::string_view kVerbs[] = {"cast", "average", "merge-weighted", "merge-slerp",
                                       "merge-add-difference"};

Error malformed(std::string message) {
  return Error(ErrorCode::kMalformed, "the recipe " + std::move(message));
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

Status parse_weights(const Json& list, Recipe& recipe) {
  if (!list.is_array()) return fail(malformed("has weights that are no list"));
  for (const Json& one : list) {
    if (!one.is_number()) return fail(malformed("has a weight that is no number"));
    recipe.weights.push_back(one.get<double>());
  }
  return ok();
}

Status parse_keep(const Json& list, Recipe& recipe) {
  if (!list.is_array()) return fail(malformed("has a keep that is no list"));
  for (const Json& one : list) {
    if (!one.is_array() || one.size() != 2 || !one[0].is_string())
      return fail(malformed("has a keep that is no pair"));
    KILTER_ASSIGN(const DType dtype, dtype_of(one[1]));
    recipe.keep.emplace_back(one[0].get<std::string>(), dtype);
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

/// Where the file will still be found from another folder.
std::string lasting_address(const std::string& address) {
  if (address.find("://") != std::string::npos) return address;
  std::error_code error;
  const auto path = std::filesystem::absolute(address, error);
  return error ? address : path.lexically_normal().string();
}

}  // namespace

std::string write_recipe(const Recipe& recipe) {
  Json out = {{"kilter_recipe", kVersion}, {"program", KILTER_VERSION}, {"verb", recipe.verb}};
  Json inputs = Json::array();
  for (const RecipeInput& input : recipe.inputs)
    inputs.push_back({{"address", input.address}, {"digest", input.digest}});
  out["inputs"] = std::move(inputs);
  if (!recipe.weights.empty()) out["weights"] = recipe.weights;
  if (recipe.dtype) out["dtype"] = dtype_name(*recipe.dtype);
  for (const auto& [glob, dtype] : recipe.keep)
    out["keep"].push_back(Json::array({glob, dtype_name(dtype)}));
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
  if (json["kilter_recipe"] != kVersion ||
      std::find(std::begin(kVerbs), std::end(kVerbs), recipe.verb) == std::end(kVerbs))
    return fail(Error(ErrorCode::kUnsupported, "the recipe is of a kind this program cannot follow")
                    .wanted("version 1", recipe.verb)
                    .advise("use a newer Kilter"));
  KILTER_TRY(parse_inputs(json.value("inputs", Json()), recipe));
  if (json.contains("weights")) KILTER_TRY(parse_weights(json["weights"], recipe));
  if (json.contains("keep")) KILTER_TRY(parse_keep(json["keep"], recipe));
  if (json.contains("allow")) KILTER_TRY(parse_allow(json["allow"], recipe));
  if (json.contains("dtype")) {
    KILTER_ASSIGN(recipe.dtype, dtype_of(json["dtype"]));
  }
  return recipe;
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
    out.push_back({lasting_address(input.address), std::move(digest)});
  }
  return out;
}

}  // namespace kilter::ops
