#include "model/adapters/adapter_config.h"

#include <algorithm>
#include <map>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/try.h"

namespace kilter::model {
namespace {

constexpr JsonLimits kLimits = {16ULL << 20, 16};

Error wrong(std::string_view key, std::string_view wanted) {
  return Error(ErrorCode::kMalformed, "'" + std::string(key) + "' is no " + std::string(wanted));
}

/// Reads one value if it is there and not null.
class Settings {
 public:
  explicit Settings(const Json& json) : json_(json) {}

  Result<std::optional<double>> number(const char* key) const {
    const Json* value = find(key);
    if (value == nullptr) return std::optional<double>();
    if (!value->is_number()) return fail(wrong(key, "number"));
    return std::optional(value->get<double>());
  }
  Result<bool> flag(const char* key) const {
    const Json* value = find(key);
    if (value == nullptr) return false;
    if (!value->is_boolean()) return fail(wrong(key, "true or false"));
    return value->get<bool>();
  }
  Result<std::string> text(const char* key) const {
    const Json* value = find(key);
    if (value == nullptr) return std::string();
    if (!value->is_string()) return fail(wrong(key, "text"));
    return value->get<std::string>();
  }
  const Json* find(const char* key) const {
    const auto found = json_.find(key);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }

 private:
  const Json& json_;
};

/// Present and neither false, 0, "" nor empty.
bool says_something(const Json* value) {
  if (value == nullptr) return false;
  if (value->is_boolean()) return value->get<bool>();
  if (value->is_number()) return value->get<double>() != 0;
  return !value->empty() && *value != Json("");
}

// Settings that change what the factors mean, and for which there is no rule here.
constexpr std::pair<const char*, const char*> kUnsupportedSettings[] = {
    {"layer_replication", "the base's layers are repeated"},
    {"target_parameters", "factors for parameters that are no layer's weight"},
    {"trainable_token_indices", "single rows of the embedding were trained"},
    {"alora_invocation_tokens", "the adapter acts on some tokens only"},
    {"use_bdlora", "block-diagonal factors"},
    {"monteclora_config", "sampled factors"},
};

/// These change the base before training starts: the factors belong to what remained of it.
constexpr const char* kChangingStarts[] = {"pissa", "olora", "corda", "loftq", "eva_residual"};

void note_unsupported(const Settings& settings, AdapterConfig* config) {
  for (const auto& [key, meaning] : kUnsupportedSettings)
    if (says_something(settings.find(key)))
      config->unsupported.push_back(std::string(key) + ": " + meaning);
  const Json* start = settings.find("init_lora_weights");
  if (start == nullptr || !start->is_string()) return;
  for (const char* changing : kChangingStarts)
    if (start->get<std::string>().starts_with(changing))
      config->unsupported.push_back("init_lora_weights " + start->get<std::string>() +
                                    ": the base was changed before training");
}

Status read_patterns(const Settings& settings, const char* key,
                     std::vector<std::pair<NamePattern, double>>* out) {
  const Json* patterns = settings.find(key);
  if (patterns == nullptr) return ok();
  if (!patterns->is_object()) return fail(wrong(key, "object"));
  for (const auto& [name, value] : patterns->items()) {
    if (!value.is_number()) return fail(wrong(std::string(key) + "." + name, "number"));
    KILTER_ASSIGN(NamePattern pattern, NamePattern::parse(name));
    out->emplace_back(std::move(pattern), value.get<double>());
  }
  return ok();
}

/// The first pattern that fits the module.
std::optional<double> find_pattern(const std::vector<std::pair<NamePattern, double>>& patterns,
                                   const std::string& path) {
  for (const auto& [pattern, value] : patterns)
    if (pattern.matches_module(path)) return value;
  return std::nullopt;
}

Status read_on_input(const Settings& settings, AdapterConfig* config) {
  const Json* modules = settings.find("feedforward_modules");
  config->states_on_input = config->type == "IA3";
  if (modules == nullptr) return ok();
  if (modules->is_string()) {
    KILTER_ASSIGN(config->on_input_pattern, NamePattern::parse(modules->get<std::string>()));
    return ok();
  }
  if (!modules->is_array()) return fail(wrong("feedforward_modules", "list of names"));
  for (const Json& name : *modules) {
    if (!name.is_string()) return fail(wrong("feedforward_modules", "list of names"));
    config->on_input_endings.push_back(name.get<std::string>());
  }
  return ok();
}

Result<AdapterConfig> read_config(const Json& json) {
  const Settings settings(json);
  AdapterConfig config;
  KILTER_ASSIGN(const std::string type, settings.text("peft_type"));
  if (!type.empty()) config.type = type;
  KILTER_ASSIGN(config.alpha, settings.number("lora_alpha"));
  KILTER_ASSIGN(const std::optional<double> plain_alpha, settings.number("alpha"));
  if (!config.alpha) config.alpha = plain_alpha;  // LoHa and LoKr call it so
  KILTER_TRY(read_patterns(settings, "alpha_pattern", &config.alpha_patterns));
  KILTER_TRY(read_patterns(settings, "rank_pattern", &config.rank_patterns));
  KILTER_ASSIGN(const std::optional<double> rank, settings.number("r"));
  if (rank && *rank >= 1 && *rank < 1e9) config.rank = static_cast<std::int64_t>(*rank);
  KILTER_ASSIGN(config.rank_stabilized, settings.flag("use_rslora"));
  KILTER_ASSIGN(config.transposed, settings.flag("fan_in_fan_out"));
  KILTER_TRY(read_on_input(settings, &config));
  KILTER_ASSIGN(config.base_name, settings.text("base_model_name_or_path"));
  note_unsupported(settings, &config);
  constexpr std::string_view kTypes[] = {"LORA", "LOHA", "LOKR", "IA3"};
  if (std::find(std::begin(kTypes), std::end(kTypes), config.type) == std::end(kTypes))
    config.unsupported.push_back("peft_type " + config.type);
  return config;
}

}  // namespace

void AdapterConfig::apply_to(AdapterModule* module) const {
  module->transposed = transposed;
  if (module->kind == ModuleKind::kIa3 && states_on_input) {
    bool on_input = on_input_pattern && on_input_pattern->matches_whole(module->path);
    for (const std::string& ending : on_input_endings)
      on_input = on_input || module->path.ends_with(ending);
    module->on_input = on_input;
  }
  if (module->kind == ModuleKind::kLokr && module->rank() == 0) {
    module->stated_rank = rank;
    if (const auto own = find_pattern(rank_patterns, module->path))
      if (*own >= 1 && *own < 1e9) module->stated_rank = static_cast<std::int64_t>(*own);
  } else if (module->rank() == 0) {
    return;
  }
  module->rank_stabilized = rank_stabilized && module->kind == ModuleKind::kLora;
  if (!module->alpha) module->alpha = alpha;
  if (const auto own = find_pattern(alpha_patterns, module->path)) module->alpha = own;
}

Result<AdapterConfig> parse_adapter_config(std::string_view text) {
  KILTER_ASSIGN(const Json json, parse_json(text, kLimits));
  if (!json.is_object()) return fail(ErrorCode::kMalformed, "it is no JSON object");
  return read_config(json);
}

Result<std::vector<std::pair<std::string, AdapterConfig>>> parse_diffusers_metadata(
    std::string_view text) {
  KILTER_ASSIGN(const Json json, parse_json(text, kLimits));
  if (!json.is_object()) return fail(ErrorCode::kMalformed, "it is no JSON object");
  std::map<std::string, Json> parts;
  for (const auto& [key, value] : json.items()) {
    const auto dot = key.find('.');
    if (dot != std::string::npos) parts[key.substr(0, dot)][key.substr(dot + 1)] = value;
  }
  std::vector<std::pair<std::string, AdapterConfig>> out;
  for (const auto& [part, settings] : parts) {
    KILTER_ASSIGN(AdapterConfig config, read_config(settings));
    out.emplace_back(part, std::move(config));
  }
  return out;
}

}  // namespace kilter::model
