// The texts that state ranks and alphas: PEFT's adapter_config.json, diffusers' metadata.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kilter/error.h"

#include "model/adapters/adapter_note.h"
#include "model/adapters/description.h"

namespace kilter::model {

inline constexpr std::string_view kDiffusersMetadataKey = "lora_adapter_metadata";

/// adapter_config.json for modules under these paths: the one the adapter came with where it has
/// one, else one made from its ranks, alphas and kinds. Errors: kInvalidArgument for several kinds
/// in one adapter, which PEFT cannot say.
Result<std::string> spell_config(const AdapterDescription& adapter,
                                 const std::vector<std::string>& paths, const AdapterNote& note);

/// The value of `lora_adapter_metadata`; empty where every scale is 1, which needs no statement.
Result<std::string> spell_diffusers_metadata(const AdapterDescription& adapter,
                                             const std::vector<std::string>& paths);

/// True if a tensor of that dtype can hold the value without rounding.
bool holds_exactly(DType dtype, double value);

}  // namespace kilter::model
