// What one naming says and another has no place for, kept in the file's metadata so that a way
// there and back gives the same tensors.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/adapters/description.h"

namespace kilter::model {

struct AdapterNote {
  std::string part;       ///< of an adapter that PEFT's naming holds without it
  bool no_alpha = false;  ///< there were no alphas: the scale was 1
  std::optional<DType> alpha_dtype;
  std::string kohya_text_prefix;  ///< "lora_te1_" where there is no second text encoder
  bool kohya_words = false;       ///< ComfyUI's file had lora_down, not lora_A
  std::string config;             ///< adapter_config.json as it was
};

/// Of the key kAdapterNoteKey; empty where there is none, or it is not ours.
AdapterNote read_note(const std::vector<std::pair<std::string, std::string>>& metadata);

/// The text for that key; empty if nothing would be lost without it. `before`: the note the adapter
/// came with.
std::string make_note(const AdapterDescription& adapter, AdapterNaming naming,
                      const AdapterNote& before, const std::set<std::string>& parts);

}  // namespace kilter::model
