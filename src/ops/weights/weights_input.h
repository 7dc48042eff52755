// A checkpoint as an operation on weights sees it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "kilter/convert.h"
#include "kilter/weights.h"

namespace kilter::ops {

/// Tensors by the names that count: a container (`state_dict`, `model`, …) that holds all of them
/// is left out.
struct WeightsInput {
  std::string address;
  Checkpoint checkpoint;
  std::vector<std::string> names;  ///< by tensor; empty if it is no weight
  std::unordered_map<std::string_view, std::size_t> by_name;  ///< into `names`

  std::optional<std::size_t> find(std::string_view name) const;
  const TensorInfo& info(std::size_t tensor) const { return checkpoint.tensors()[tensor]; }
};

/// Errors: as open_checkpoint(); kInvalidArgument if it has no such part.
Result<WeightsInput> open_weights(const std::string& address, const OpenOptions& options,
                                  Part part = Part::kWeights);

}  // namespace kilter::ops
