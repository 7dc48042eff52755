// Where the layers of a model are, read off its tensors' names.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kilter/error.h"

namespace kilter::ops {

/// "model.layers.3.mlp.up_proj.weight": before, number, behind.
struct LayerName {
  std::string_view prefix;  ///< "model.layers."
  std::int64_t layer = 0;
  std::string_view rest;  ///< ".mlp.up_proj.weight"
};
/// At the first part that is a whole number: numbers further on count experts. nullopt if there is
/// none.
std::optional<LayerName> split_layer_name(std::string_view name);
std::string layer_name(std::string_view prefix, std::int64_t layer, std::string_view rest);

/// Tensors whose names differ in one number that runs from 0 without gaps.
struct LayerStack {
  std::string prefix;
  std::int64_t layers = 0;
  std::size_t tensors = 0;
};
/// In the order of their prefixes.
std::vector<LayerStack> find_layer_stacks(std::span<const std::string> names);

/// The one whose layers slices count: with as many layers as `stated_layers` (of config.json), if
/// that is stated and one has; else the one that holds most of all tensors.
/// Errors: kInvalidArgument if no stack stands out.
Result<LayerStack> main_layer_stack(std::span<const LayerStack> stacks, std::size_t tensor_count,
                                    std::optional<std::int64_t> stated_layers);

enum class TensorRole : std::uint8_t {
  kLayer,   ///< of a stack
  kBefore,  ///< the first layer needs it: embeddings
  kAfter,   ///< norms and heads behind the last layer, and whatever else there is
};
/// Of a tensor outside the layers.
TensorRole outer_role(std::string_view name);
/// "lm_head.weight" and its like, whose rows are tokens.
bool is_head_name(std::string_view name);
/// Input embeddings, whose rows are tokens.
bool is_token_embedding_name(std::string_view name);
/// Tables that programs compute anew, and older ones saved: masks, frequencies, positions.
bool is_buffer_name(std::string_view name);

}  // namespace kilter::ops
