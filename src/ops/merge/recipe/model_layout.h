// Which tensors of a model a part of a recipe means, layer by layer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ops/merge/recipe/recipe_models.h"

namespace kilter::ops {

/// True for every name if `module` is "default"; else for names with the module's name as one of
/// their parts ("vision_tower.…", "model.vision_tower.…").
bool belongs_to_module(std::string_view tensor, std::string_view module);

/// Tensors of one model that belong to one module. Numbers are indices into input.names.
struct ModelLayout {
  const RecipeModel* model = nullptr;
  std::vector<std::size_t> tensors;  ///< all, in the model's order
  std::vector<LayerStack> stacks;
  LayerStack main;                               ///< of slices
  std::vector<std::vector<std::size_t>> layers;  ///< of the main stack
  std::vector<std::size_t> before, after;        ///< outside the main stack

  /// Among the layers of its own stack, 0 to 1; 0 outside any.
  double position(std::string_view tensor) const;
};

/// Without layers: for recipes that take whole models.
ModelLayout lay_out_model(const RecipeModel& model, std::string_view module);
/// Errors: kInvalidArgument with the model as path if no stack of layers stands out.
Status lay_out_layers(ModelLayout& layout);

}  // namespace kilter::ops
