#include "ops/weights/ema_names.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>

namespace kilter::ops {
namespace {

constexpr std::string_view kEmaPrefix = "model_ema.", kPlainPrefix = "model.";

/// "model_ema.diffusion_modelout2bias" of any container; empty if it is none.
std::string_view ema_name(std::string_view full) {
  const auto at = full.find(kEmaPrefix);
  const bool starts = at == 0 || (at != std::string_view::npos && full[at - 1] == '.');
  return starts ? full.substr(at) : std::string_view();
}

/// What the average of a plain weight is called; empty for names that have none.
std::string ema_name_of(std::string_view plain) {
  if (!plain.starts_with(kPlainPrefix)) return "";
  std::string out(kEmaPrefix);
  for (const char one : plain.substr(kPlainPrefix.size()))
    if (one != '.') out += one;
  return out;
}

}  // namespace

void choose_ema_names(WeightsInput& input, EmaWeights ema) {
  if (ema == EmaWeights::kDrop) return;
  std::unordered_map<std::string_view, std::size_t> averages;
  for (std::size_t i = 0; i < input.names.size(); ++i)
    if (const auto name = ema_name(input.info(i).name); !name.empty()) averages.emplace(name, i);
  if (ema == EmaWeights::kKeep) {
    for (const auto& [name, tensor] : averages) input.names[tensor] = std::string(name);
  } else {
    for (std::size_t i = 0; i < input.names.size(); ++i) {
      const auto average = averages.find(ema_name_of(input.names[i]));
      if (average == averages.end() || average->second == i) continue;
      input.names[average->second] = std::move(input.names[i]);
      input.names[i].clear();
    }
  }
  input.by_name.clear();
  for (std::size_t i = 0; i < input.names.size(); ++i)
    if (!input.names[i].empty()) input.by_name.emplace(input.names[i], i);
}

std::string plain_name_of_ema(const WeightsInput& input, const std::string& name) {
  if (!name.starts_with(kEmaPrefix)) return name;
  const auto plain = std::ranges::find_if(input.names, [&](const std::string& one) {
    return !one.empty() && ema_name_of(one) == name;
  });
  return plain == input.names.end() ? name : *plain;
}

}  // namespace kilter::ops
