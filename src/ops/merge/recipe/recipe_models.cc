#include "ops/merge/recipe/recipe_models.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/text.h"
#include "base/try.h"

namespace kilter::ops {
namespace {

constexpr std::string_view kConfigName = "config.json";

/// A step of a store is an address before it is a file: what stands before the '@' must be there.
bool is_there(const std::string& path) {
  std::error_code error;
  if (std::filesystem::exists(path, error)) return true;
  const auto at = path.find('@');
  return at != std::string::npos && at > 0 && std::filesystem::exists(path.substr(0, at), error);
}

Json config_of(const CheckpointData& data) {
  for (const Document& document : data.documents) {
    if (document.path != kConfigName) continue;
    auto config = parse_json(document.text);
    if (config && config->is_object()) return std::move(*config);
  }
  return {};
}

/// Tensors that only quantized checkpoints have. Source: the layouts of GPTQ, AWQ, bitsandbytes,
/// compressed-tensors and block-scaled f8.
bool is_quantized_part(std::string_view name) {
  constexpr std::string_view kParts[] = {
      ".qweight",          ".qzeros", ".weight_packed", ".weight_scale_inv", ".weight.absmax",
      ".weight.quant_map", ".SCB",    ".weight_scale",  ".weight_scale_2"};
  return std::ranges::any_of(kParts,
                             [name](std::string_view part) { return name.ends_with(part); });
}

Error quantized(const RecipeModel& model, std::string found) {
  Error error(ErrorCode::kUnsupported,
              "the weights are quantized, and numbers alone can be merged");
  error.path = model.input.address;
  error.found = std::move(found);
  error.hint = "merge the weights they were made from, and quantize the result";
  return error;
}

Status check_not_quantized(const RecipeModel& model) {
  if (const Json* const config = model.find_config("quantization_config");
      config != nullptr && config->is_object()) {
    const Json method = config->value("quant_method", Json("?"));
    return fail(
        quantized(model, "quantization_config " + dump_json(method, -1) + " in config.json"));
  }
  for (const std::string& name : model.input.names)
    if (is_quantized_part(name)) return fail(quantized(model, "tensor " + name));
  return ok();
}

}  // namespace

Result<std::string> find_model(const ModelName& model, const std::string& folder) {
  namespace fs = std::filesystem;
  std::string name = model.name;
  if (name.starts_with("hf://")) name.erase(0, 5);
  if (name.find("://") != std::string::npos) return name;
  const std::array<std::string, 2> places = {(fs::path(folder) / name).string(), name};
  for (const std::string& place : places)
    if (is_there(place)) return place;
  if (const auto plus = name.find('+'); plus != std::string::npos)
    return fail(adapter_error({name.substr(plus + 1), model.place}));
  std::string looked = places[0];
  if (fs::path(name).is_relative() && !folder.empty()) looked += " and " + places[1];
  return fail(yaml_error(ErrorCode::kNotFound, model.place.line, model.place.column,
                         "the model '" + escape_text(model.name) + "' is not here")
                  .wanted("a file or folder", "nothing at " + escape_text(looked))
                  .advise("recipes name models by path, from their own folder or the current one; "
                          "nothing is downloaded"));
}

const Json* RecipeModel::find_config(const char* key) const {
  if (!config.is_object()) return nullptr;
  if (const auto found = config.find(key); found != config.end()) return &*found;
  for (const char* part : {"text_config", "llm_config", "language_config"}) {
    const auto inner = config.find(part);
    if (inner == config.end() || !inner->is_object()) continue;
    if (const auto found = inner->find(key); found != inner->end()) return &*found;
  }
  return nullptr;
}

std::optional<std::int64_t> RecipeModel::stated_layers() const {
  for (const char* key : {"num_hidden_layers", "n_layer", "num_layers"}) {
    const Json* const value = find_config(key);
    if (value != nullptr && value->is_number_integer()) return value->get<std::int64_t>();
  }
  return std::nullopt;
}

std::optional<bool> RecipeModel::ties_heads() const {
  const Json* const value = find_config("tie_word_embeddings");
  if (value == nullptr || !value->is_boolean()) return std::nullopt;
  return value->get<bool>();
}

std::optional<std::string> RecipeModel::token_embedding() const {
  std::optional<std::string> out;
  for (const std::string& one : input.names) {
    if (!is_token_embedding_name(one)) continue;
    if (out) return std::nullopt;
    out = one;
  }
  return out;
}

Result<RecipeModel> open_recipe_model(const ModelName& name, const std::string& address,
                                      const OpenOptions& options) {
  KILTER_ASSIGN(WeightsInput input, open_weights(address, options));
  Json config = config_of(input.checkpoint.data());
  RecipeModel model{name, std::move(input), std::move(config), {}};
  model.stacks = find_layer_stacks(model.input.names);
  KILTER_TRY(check_not_quantized(model));
  return model;
}

}  // namespace kilter::ops
