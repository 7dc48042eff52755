#include "model/adapters/spell_config.h"

#include <array>
#include <cmath>
#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/try.h"
#include "tensor/kernels/float_values.h"

namespace kilter::model {
namespace {

/// Whole numbers without a point, as PEFT writes ranks and alphas.
Json number_json(double value) {
  if (value == std::floor(value) && std::fabs(value) < 1e15)
    return Json(static_cast<std::int64_t>(value));
  return Json(value);
}

bool has_factors(const AdapterModule& module) {
  return module.kind != ModuleKind::kReplace && module.kind != ModuleKind::kIa3;
}

double alpha_or_rank(const AdapterModule& module) {
  return module.alpha.value_or(static_cast<double>(module.rank()));
}

template <typename Value>
Value most_frequent(const std::map<Value, std::size_t>& counts) {
  Value best{};
  std::size_t most = 0;
  for (const auto& [value, count] : counts)
    if (count > most) best = value, most = count;
  return best;
}

/// Rank and alpha of most modules, and by name where they differ.
struct CommonScale {
  std::int64_t rank = 0;
  double alpha = 0;
  Json ranks = Json::object(), alphas = Json::object();
};

template <typename Wanted>
CommonScale common_scale(const AdapterDescription& adapter, const std::vector<std::string>& paths,
                         Wanted wanted) {
  std::map<std::int64_t, std::size_t> ranks;
  std::map<double, std::size_t> alphas;
  for (const AdapterModule& module : adapter.modules) {
    if (!wanted(module)) continue;
    ++ranks[module.rank()];
    ++alphas[alpha_or_rank(module)];
  }
  CommonScale out;
  out.rank = most_frequent(ranks);
  out.alpha = most_frequent(alphas);
  for (std::size_t i = 0; i < adapter.modules.size(); ++i) {
    const AdapterModule& module = adapter.modules[i];
    if (!wanted(module)) continue;
    if (module.rank() != out.rank) out.ranks[paths[i]] = module.rank();
    if (alpha_or_rank(module) != out.alpha)
      out.alphas[paths[i]] = number_json(alpha_or_rank(module));
  }
  return out;
}

/// "model.layers.0.mlp.down_proj" -> "down_proj": what target_modules lists where that is enough.
std::string last_path_level(const std::string& path) {
  const auto dot = path.find_last_of('.');
  return dot == std::string::npos ? path : path.substr(dot + 1);
}

Result<std::string> peft_type(const AdapterDescription& adapter) {
  std::set<ModuleKind> kinds;
  for (const AdapterModule& module : adapter.modules)
    if (module.kind != ModuleKind::kReplace) kinds.insert(module.kind);
  if (kinds.size() > 1)
    return fail(ErrorCode::kInvalidArgument,
                "peft naming has no place for several kinds of modules in one adapter");
  if (kinds.empty() || *kinds.begin() == ModuleKind::kLora) return std::string("LORA");
  if (*kinds.begin() == ModuleKind::kLoha) return std::string("LOHA");
  if (*kinds.begin() == ModuleKind::kLokr) return std::string("LOKR");
  if (*kinds.begin() == ModuleKind::kIa3) return std::string("IA3");
  return fail(ErrorCode::kInvalidArgument, "peft naming has no place for full differences");
}

Json saved_modules(const AdapterDescription& adapter) {
  std::set<std::string> names;
  for (const AdapterModule& module : adapter.modules) {
    if (module.kind != ModuleKind::kReplace || module.path.ends_with(".bias")) continue;
    const auto dot = module.path.find_last_of('.');
    names.insert(last_path_level(module.path.substr(0, dot)));
  }
  return names.empty() ? Json() : Json(names);
}

void add_lora_keys(const AdapterDescription& adapter, const CommonScale& scale, Json* config) {
  bool dora = false, stabilized = false, transposed = false, bias = false, up_bias = false;
  for (const AdapterModule& module : adapter.modules) {
    dora = dora || module.find(FactorRole::kMagnitude) != nullptr;
    stabilized = stabilized || module.rank_stabilized;
    transposed = transposed || module.transposed;
    up_bias = up_bias || module.find(FactorRole::kUpBias) != nullptr;
    bias = bias || (module.kind == ModuleKind::kReplace && module.path.ends_with(".bias"));
  }
  (*config)["lora_alpha"] = number_json(scale.alpha);
  (*config)["lora_dropout"] = 0.0;
  (*config)["bias"] = bias ? "all" : "none";
  (*config)["lora_bias"] = up_bias;
  (*config)["use_rslora"] = stabilized;
  (*config)["use_dora"] = dora;
  (*config)["fan_in_fan_out"] = transposed;
  (*config)["init_lora_weights"] = true;
}

std::string made_config(const AdapterDescription& adapter, const std::vector<std::string>& paths,
                        const std::string& type) {
  const CommonScale scale = common_scale(adapter, paths, has_factors);
  std::set<std::string> targets, inputs;
  for (std::size_t i = 0; i < adapter.modules.size(); ++i) {
    if (adapter.modules[i].kind == ModuleKind::kReplace) continue;
    targets.insert(paths[i]);
    if (adapter.modules[i].on_input.value_or(false)) inputs.insert(paths[i]);
  }
  Json config = {{"peft_type", type}, {"auto_mapping", nullptr}};
  config["base_model_name_or_path"] = adapter.base_name.empty() ? Json() : Json(adapter.base_name);
  config["inference_mode"] = true;
  config["target_modules"] = targets;
  config["modules_to_save"] = saved_modules(adapter);
  if (type == "IA3") {
    config["feedforward_modules"] = inputs;
    return dump_json(config) + "\n";
  }
  config["r"] = scale.rank;
  config["rank_pattern"] = scale.ranks;
  config["alpha_pattern"] = scale.alphas;
  if (type == "LORA")
    add_lora_keys(adapter, scale, &config);
  else
    config["alpha"] = number_json(scale.alpha);
  return dump_json(config) + "\n";
}

}  // namespace

bool holds_exactly(DType dtype, double value) {
  if (!has_float_values(dtype)) return value == std::floor(value) && std::fabs(value) < 1e9;
  std::array<std::byte, 8> bytes{};
  narrow_floats(dtype, &value, 1, bytes.data());
  double back = 0;
  widen_floats(dtype, bytes.data(), 1, &back);
  return back == value;
}

Result<std::string> spell_config(const AdapterDescription& adapter,
                                 const std::vector<std::string>& paths, const AdapterNote& note) {
  if (!adapter.config.empty()) return adapter.config;
  if (!note.config.empty()) return note.config;
  if (adapter.scale_unknown) return std::string();
  KILTER_ASSIGN(const std::string type, peft_type(adapter));
  return made_config(adapter, paths, type);
}

Result<std::string> spell_diffusers_metadata(const AdapterDescription& adapter,
                                             const std::vector<std::string>& paths) {
  std::set<std::string> parts;
  bool needed = false;
  for (const AdapterModule& module : adapter.modules) {
    parts.insert(module.part);
    needed = needed || module.scale() != 1;
  }
  if (!needed) return std::string();
  std::map<std::string, Json> out;  // sorted, as diffusers writes it
  for (const std::string& part : parts) {
    const auto mine = [&](const AdapterModule& module) {
      return module.part == part && has_factors(module);
    };
    const CommonScale scale = common_scale(adapter, paths, mine);
    bool stabilized = false, dora = false;
    std::set<std::string> targets;
    for (std::size_t i = 0; i < adapter.modules.size(); ++i) {
      if (!mine(adapter.modules[i])) continue;
      targets.insert(paths[i]);
      stabilized = stabilized || adapter.modules[i].rank_stabilized;
      dora = dora || adapter.modules[i].find(FactorRole::kMagnitude) != nullptr;
    }
    const std::string prefix = part + ".";
    out[prefix + "r"] = scale.rank;
    out[prefix + "lora_alpha"] = number_json(scale.alpha);
    out[prefix + "rank_pattern"] = scale.ranks;
    out[prefix + "alpha_pattern"] = scale.alphas;
    out[prefix + "use_rslora"] = stabilized;
    out[prefix + "use_dora"] = dora;
    out[prefix + "target_modules"] = targets;
    out[prefix + "peft_type"] = "LORA";
  }
  return dump_json(Json(out)) + "\n";
}

}  // namespace kilter::model
