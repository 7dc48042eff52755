#include "model/adapters/adapter_note.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "model/adapters/name_adapter.h"

namespace kilter::model {
namespace {

constexpr JsonLimits kNoteLimits = {16ULL << 20, 16};

std::string note_text(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

bool note_flag(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_boolean() && found->get<bool>();
}

/// The dtype of all alphas; nullopt where there are none, or several.
std::optional<DType> alpha_dtype_of(const AdapterDescription& adapter) {
  std::optional<DType> dtype;
  for (const AdapterModule& module : adapter.modules) {
    if (!module.alpha_dtype) continue;
    if (dtype && *dtype != *module.alpha_dtype) return std::nullopt;
    dtype = module.alpha_dtype;
  }
  return dtype;
}

}  // namespace

AdapterNote read_note(const std::vector<std::pair<std::string, std::string>>& metadata) {
  AdapterNote note;
  for (const auto& [key, text] : metadata) {
    if (key != kAdapterNoteKey) continue;
    const auto json = parse_json(text, kNoteLimits);
    if (!json || !json->is_object()) continue;
    note.part = note_text(*json, "part");
    note.no_alpha = note_flag(*json, "no_alpha");
    note.alpha_dtype = dtype_from_name(note_text(*json, "alpha_dtype"));
    note.kohya_text_prefix = note_text(*json, "kohya_text_prefix");
    if (note.kohya_text_prefix != "lora_te1_") note.kohya_text_prefix.clear();
    note.kohya_words = note_flag(*json, "kohya_words");
    note.config = note_text(*json, "config");
  }
  return note;
}

std::string make_note(const AdapterDescription& adapter, AdapterNaming naming,
                      const AdapterNote& before, const std::set<std::string>& parts) {
  Json json = Json::object();
  const bool tensors =
      adapter.naming == AdapterNaming::kKohya || adapter.naming == AdapterNaming::kComfyui;
  const bool stated = std::any_of(adapter.modules.begin(), adapter.modules.end(),
                                  [](const auto& module) { return module.alpha.has_value(); });
  const std::string part =
      parts.size() == 1 && !parts.begin()->empty() ? *parts.begin() : before.part;
  if (naming == AdapterNaming::kPeft && !part.empty()) json["part"] = part;
  if (before.no_alpha || (tensors && !stated)) json["no_alpha"] = true;
  const auto dtype = before.alpha_dtype ? before.alpha_dtype : alpha_dtype_of(adapter);
  if (dtype && *dtype != DType::kF32) json["alpha_dtype"] = dtype_name(*dtype);
  if (!before.kohya_text_prefix.empty() ||
      (adapter.kohya_first_text_encoder && !parts.contains("text_encoder_2")))
    json["kohya_text_prefix"] = "lora_te1_";
  if (before.kohya_words ||
      (adapter.naming == AdapterNaming::kComfyui && adapter.dialect == "lora_down"))
    json["kohya_words"] = true;
  const std::string& config = adapter.config.empty() ? before.config : adapter.config;
  if (naming != AdapterNaming::kPeft && !config.empty()) json["config"] = config;
  return json.empty() ? "" : dump_json(json, -1);
}

}  // namespace kilter::model
