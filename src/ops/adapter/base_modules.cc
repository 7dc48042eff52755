#include "ops/adapter/base_modules.h"

#include <array>

#include "model/adapters/module_paths.h"

namespace kilter::ops {
namespace {

/// Where the parts of a diffusion model stand in files that hold all of them.
struct BasePart {
  std::string_view prefix, part;
};
constexpr std::array<BasePart, 11> kBaseParts = {{
    {"model.diffusion_model.", "unet"},
    {"diffusion_model.", "unet"},
    {"unet.", "unet"},
    {"transformer.", "transformer"},
    {"prior.", "prior"},
    {"cond_stage_model.transformer.", "text_encoder"},
    {"conditioner.embedders.0.transformer.", "text_encoder"},
    {"conditioner.embedders.1.model.", "text_encoder_2"},
    {"text_encoder.", "text_encoder"},
    {"text_encoder_2.", "text_encoder_2"},
    {"text_encoder_3.", "text_encoder_3"},
}};
constexpr std::string_view kOpenClip = "conditioner.embedders.1.model.";
constexpr std::string_view kTextModel = "text_model.";

/// What quantizers put in a weight's place or beside it.
constexpr std::array<std::string_view, 8> kQuantized = {".qweight",
                                                        ".weight_packed",
                                                        ".weight.absmax",
                                                        ".weight_scale",
                                                        ".weight_scale_inv",
                                                        ".SCB",
                                                        ".weight.quant_state.bitsandbytes__nf4",
                                                        ".scale_weight"};

std::string key_of(std::string_view part, std::string_view path, std::string_view what) {
  std::string out(part);
  out += '|';
  out += model::join_levels(path);
  out += '|';
  out += what;
  return out;
}

/// A layer's name and which of its tensors it is.
std::pair<std::string_view, std::string_view> cut_tensor(std::string_view name) {
  for (const std::string_view what : {"weight", "bias"}) {
    if (!name.ends_with(what) || name.size() <= what.size()) continue;
    const char before = name[name.size() - what.size() - 1];
    if (before == '.' || before == '_')  // "attn.in_proj_weight"
      return {name.substr(0, name.size() - what.size() - 1), what};
  }
  return {name, "weight"};
}

}  // namespace

BaseModules::BaseModules(const WeightsInput& base) : base_(base) {
  for (const std::string& name : base.names)
    for (const BasePart& row : kBaseParts)
      has_parts_ = has_parts_ || (name.starts_with(row.prefix) && row.prefix != "transformer.");
  for (std::size_t i = 0; i < base.names.size(); ++i)
    if (!base.names[i].empty()) add(i);
}

void BaseModules::add(std::size_t tensor) {
  const std::string& name = base_.names[tensor];
  const auto [layer, what] = cut_tensor(name);
  const std::string path(layer);
  add_name("", path, what, {tensor});
  for (const BasePart& row : kBaseParts) {
    if (!path.starts_with(row.prefix)) continue;
    const std::string part(row.part), inside = path.substr(row.prefix.size());
    add_name(part, inside, what, {tensor});
    if (row.part == "unet") add_unet_names(part, inside, what, {tensor});
    if (row.prefix != kOpenClip) continue;
    const auto& shape = base_.info(tensor).shape;
    const bool joined = inside.ends_with("attn.in_proj") && !shape.empty() && shape[0] % 3 == 0;
    const std::uint64_t rows = joined ? static_cast<std::uint64_t>(shape[0]) / 3 : 0;
    for (int third = 0; third < (joined ? 3 : 1); ++third)
      if (const auto clip = model::clip_text_path(inside, third))
        add_name(part, std::string(kTextModel) + *clip, what,
                 {tensor, rows * static_cast<std::uint64_t>(third), rows});
  }
  if (!has_parts_) add_unet_names("", path, what, {tensor});
}

void BaseModules::add_unet_names(const std::string& part, const std::string& path,
                                 std::string_view what, BaseTarget target) {
  if (const auto other = model::diffusers_unet_path(path)) add_name(part, *other, what, target);
  for (const bool xl : {false, true})  // one upsampler has two original names
    if (const auto other = model::original_unet_path(path, xl))
      add_name(part, *other, what, target);
}

void BaseModules::add_name(const std::string& part, const std::string& path, std::string_view what,
                           BaseTarget target) {
  const auto [found, added] = by_key_.try_emplace(key_of(part, path, what), Entry{target, false});
  if (!added && found->second.target.tensor != target.tensor) found->second.several = true;
}

std::optional<BaseTarget> BaseModules::find_key(const std::string& key) const {
  const auto found = by_key_.find(key);
  if (found == by_key_.end() || found->second.several) return std::nullopt;
  return found->second.target;
}

std::optional<BaseTarget> BaseModules::find(const model::AdapterModule& module,
                                            std::string_view what) const {
  if (auto target = find_key(key_of(module.part, module.path, what))) return target;
  if (module.part.empty()) {
    for (const std::string_view part : {"unet", "transformer"})
      if (auto target = find_key(key_of(part, module.path, what))) return target;
  } else if (!has_parts_) {
    if (auto target = find_key(key_of("", module.path, what))) return target;
  } else if (module.part == "unet") {
    if (auto target = find_key(key_of("transformer", module.path, what))) return target;
  }
  const auto dot = module.flattened ? std::string::npos : module.path.find('.');
  if (dot == std::string::npos || !module.part.empty()) return std::nullopt;
  return find_key(key_of("", std::string_view(module.path).substr(dot + 1), what));
}

std::optional<std::size_t> BaseModules::find_tensor(std::string_view name) const {
  if (const auto found = base_.find(name)) return found;
  const auto dot = name.find('.');
  return dot == std::string_view::npos ? std::nullopt : base_.find(name.substr(dot + 1));
}

std::string BaseModules::quantized(const model::AdapterModule& module) const {
  for (const std::string_view suffix : kQuantized) {
    const std::string name = module.path + std::string(suffix);
    if (base_.find(name)) return name;
  }
  return "";
}

}  // namespace kilter::ops
