#include "model/adapters/description.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

namespace kilter::model {
namespace {

constexpr std::array<std::pair<AdapterNaming, std::string_view>, 4> kNamingNames = {{
    {AdapterNaming::kPeft, "peft"},
    {AdapterNaming::kDiffusers, "diffusers"},
    {AdapterNaming::kKohya, "kohya"},
    {AdapterNaming::kComfyui, "comfyui"},
}};

std::int64_t first_dimension(const AdapterFactor* factor) {
  return factor == nullptr || factor->shape.empty() ? 0 : factor->shape.front();
}

}  // namespace

std::string_view adapter_naming_name(AdapterNaming naming) {
  for (const auto& [value, name] : kNamingNames)
    if (value == naming) return name;
  return "";
}

std::optional<AdapterNaming> adapter_naming_from_name(std::string_view name) {
  for (const auto& [value, known] : kNamingNames)
    if (known == name) return value;
  return std::nullopt;
}

std::string_view module_kind_name(ModuleKind kind) {
  switch (kind) {
    case ModuleKind::kLora:
      return "lora";
    case ModuleKind::kLoha:
      return "loha";
    case ModuleKind::kLokr:
      return "lokr";
    case ModuleKind::kIa3:
      return "ia3";
    case ModuleKind::kDiff:
      return "full-diff";
    case ModuleKind::kReplace:
      return "replaced";
  }
  return "";
}

const AdapterFactor* AdapterModule::find(FactorRole role) const {
  for (const AdapterFactor& factor : factors)
    if (factor.role == role) return &factor;
  return nullptr;
}

std::int64_t AdapterModule::rank() const {
  switch (kind) {
    case ModuleKind::kLora:
      return first_dimension(find(FactorRole::kDown));
    case ModuleKind::kLoha:
      return first_dimension(find(FactorRole::kW1B));
    case ModuleKind::kLokr: {
      const auto* second = find(FactorRole::kW2B);
      return first_dimension(second != nullptr ? second : find(FactorRole::kW1B));
    }
    default:
      return 0;
  }
}

double AdapterModule::scale() const {
  const auto inner = static_cast<double>(rank() != 0 ? rank() : stated_rank);
  if (!alpha || inner == 0) return 1;
  return rank_stabilized ? *alpha / std::sqrt(inner) : *alpha / inner;
}

std::string AdapterModule::flat_key() const {
  std::string out = part.empty() ? path : part + "_" + path;
  std::replace(out.begin(), out.end(), '.', '_');
  return out;
}

std::string AdapterDescription::kind() const {
  std::map<std::string, std::size_t> counts;
  for (const AdapterModule& module : modules) {
    const bool dora = module.kind == ModuleKind::kLora && module.find(FactorRole::kMagnitude);
    if (module.kind != ModuleKind::kReplace)
      ++counts[dora ? "dora" : std::string(module_kind_name(module.kind))];
  }
  if (counts.contains("dora")) return "dora";
  std::string best = modules.empty() ? "" : "replaced";
  std::size_t most = 0;
  for (const auto& [name, count] : counts)
    if (count > most) std::tie(best, most) = std::tie(name, count);
  return best;
}

}  // namespace kilter::model
