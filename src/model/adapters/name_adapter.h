// Spells a described adapter in a naming: names of tensors, alphas, configuration, metadata.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "kilter/error.h"

#include "model/adapters/description.h"

namespace kilter::model {

struct NamedAdapter {
  struct Tensor {
    std::string name;
    std::size_t module = 0, factor = 0;  ///< in the description
    std::vector<std::int64_t> shape;     ///< as the naming wants it: of as many elements
  };
  /// A tensor of no dimensions that only the naming wants: .alpha
  struct Scalar {
    std::string name;
    DType dtype = DType::kF32;  ///< f32, f16, bf16 or f64; holds `value` exactly
    double value = 0;
  };
  std::vector<Tensor> tensors;  ///< in the order of the modules
  std::vector<Scalar> scalars;
  std::string config;  ///< adapter_config.json, to lie beside; empty where the naming has none
  std::vector<std::pair<std::string, std::string>> metadata;  ///< for the file's header
};

/// What the naming has no place for and another one needs to be itself again (kohya's missing
/// alphas, adapter_config.json) goes into the metadata under this key, and is read from there.
inline constexpr std::string_view kAdapterNoteKey = "kilter.adapter";

/// Factors keep their bits: only names change, and where alpha is stated. A path whose levels are
/// joined with '_' is parted by the words of known models (module_paths.h).
///
/// Errors: kInvalidArgument naming the module and what the naming cannot say (PEFT has no place for
/// a full difference, kohya none for a replaced tensor; an alpha that no tensor holds exactly).
Result<NamedAdapter> name_adapter(const AdapterDescription& adapter, AdapterNaming naming);

}  // namespace kilter::model
