// What the texts beside an adapter's tensors state: adapter_config.json, diffusers' metadata.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kilter/error.h"

#include "model/adapters/description.h"
#include "model/adapters/name_pattern.h"

namespace kilter::model {

/// The settings that decide what a module's factors mean.
struct AdapterConfig {
  std::string type = "LORA";  ///< peft_type, in capitals
  std::optional<double> alpha;
  std::vector<std::pair<NamePattern, double>> alpha_patterns;  ///< the first that fits rules
  std::int64_t rank = 0;
  std::vector<std::pair<NamePattern, double>> rank_patterns;
  bool rank_stabilized = false;
  bool transposed = false;  ///< fan_in_fan_out
  /// IA3: modules whose vector belongs to the input: a pattern, or endings of names.
  std::optional<NamePattern> on_input_pattern;
  std::vector<std::string> on_input_endings;
  bool states_on_input = false;
  std::string base_name;
  std::vector<std::string> unsupported;  ///< settings that no rule here follows

  /// Sets what the config says about a module.
  void apply_to(AdapterModule* module) const;
};

/// adapter_config.json. Errors: kMalformed naming the key.
Result<AdapterConfig> parse_adapter_config(std::string_view text);

/// The value of `lora_adapter_metadata`: the same keys, each behind its part ("unet.lora_alpha").
/// One config for each part. Source: huggingface/diffusers loaders/lora_base.py.
Result<std::vector<std::pair<std::string, AdapterConfig>>> parse_diffusers_metadata(
    std::string_view text);

}  // namespace kilter::model
