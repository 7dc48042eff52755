// Where in a model a tensor stands, from its name: the layer, and the part of it.
#pragma once

#include <string>
#include <string_view>

namespace kilter::model {

struct LayerPart {
  std::string layer;      ///< "model.layers.3": up to the first number; empty outside of layers
  std::string_view part;  ///< "q", "k", "v", "o", "qkv", "gate", "up", "down", "norm", … "other"
};

/// By the rows of a table; what none of them fits is "other".
LayerPart layer_part(std::string_view name);

}  // namespace kilter::model
