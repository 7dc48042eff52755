// One model under several names: each brought to one form by rows of a table.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kilter::model {

struct CommonName {
  std::string name;   ///< the same for all namings of one tensor
  std::string rules;  ///< which rows changed it: "prefix model., Meta's names"; empty: none
};

/// Takes off what wrappers put in front (`module.`, `_orig_mod.`, `base_model.model.`, `model.`,
/// `transformer.`) and within (`base_layer`, `_orig_mod`), and writes Meta's names of Llama and
/// Mistral as transformers has them.
CommonName common_name(std::string_view name);

/// A tensor that some libraries keep as several, one behind the other along its first dimension.
struct FusedName {
  std::string_view scheme;         ///< "qkv_proj"
  std::vector<std::string> parts;  ///< their common names, in order
};
/// For a common name; nullopt if it is none of those.
std::optional<FusedName> fused_name(std::string_view common);

}  // namespace kilter::model
