// Which tensors of a model get factors, and under which module.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kilter/adapter_factors.h"

#include "ops/weights/weights_input.h"

namespace kilter::ops {

enum class LayerKind : std::uint8_t { kLinear, kConvolution, kEmbedding, kOther };

/// What a tensor is, by name and shape: NAME.weight of two dimensions is a linear layer unless its
/// module is called as embeddings are; of three to five a convolution; anything else is kOther.
LayerKind layer_kind(std::string_view name, const std::vector<std::int64_t>& shape);

/// A module's place as adapters state it. Single-file checkpoints of Stable Diffusion have their
/// parts behind prefixes: "model.diffusion_model." is "unet".
struct ModulePlace {
  std::string part;
  std::string path;  ///< without ".weight"
};
ModulePlace module_place(std::string_view tensor_name);

/// True if linear layers of this model are stored [in, out]: GPT-2's Conv1D, seen by the one layer
/// whose shape tells (h.*.attn.c_attn.weight, [n, 3 n]).
bool has_transposed_layers(const WeightsInput& model);
/// True if this is one of them.
bool is_transposed_layer(std::string_view name);

/// Chooses by --modules and --exclude. Globs match a module's path, or its last level alone.
class ModuleFilter {
 public:
  explicit ModuleFilter(const ExtractOptions& options)
      : options_(options), used_(options.modules.size()) {}
  bool wants(std::string_view path);
  /// Errors: kInvalidArgument for a glob that fitted nothing.
  Status check_used() const;

 private:
  const ExtractOptions& options_;
  std::vector<bool> used_;
};

}  // namespace kilter::ops
