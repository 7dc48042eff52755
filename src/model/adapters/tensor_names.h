// What one tensor's name says about its place in an adapter.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "model/adapters/description.h"

namespace kilter::model {

/// A tensor's name taken apart.
struct AdapterTensorName {
  AdapterNaming naming = AdapterNaming::kPeft;
  std::string_view dialect;  ///< "attention processors", …; empty for the naming's common form
  std::string part, path;
  bool flattened = false;
  bool alpha = false;      ///< the scalar .alpha: `role` says nothing
  bool embedding = false;  ///< lora_embedding_*
  ModuleKind kind = ModuleKind::kLora;
  FactorRole role = FactorRole::kDown;
};

/// nullopt for names that no rule knows.
std::optional<AdapterTensorName> parse_adapter_name(std::string_view name);

/// Why a name is no adapter's tensor that can be computed with, where a kind is known by name only
/// ("OFT"); empty if the name says nothing.
std::string_view unsupported_adapter_kind(std::string_view name);

}  // namespace kilter::model
