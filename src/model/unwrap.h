// Which part of a checkpoint each tensor belongs to, and its name there.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "kilter/checkpoint.h"

namespace kilter::model {

enum class Part : std::uint8_t { kWeights, kEma, kOptimizer, kOther };
std::string_view part_name(Part part);

struct Placement {
  std::vector<Part> parts;              ///< by tensor
  std::vector<std::string_view> names;  ///< by tensor: views into the index or into `owned`
  std::deque<std::string> owned;        ///< names that had to be made
  std::vector<std::string> containers;  ///< what was taken off: "state_dict.", "module."
  std::size_t count_of[4] = {};         ///< tensors by part

  std::size_t count(Part part) const { return count_of[static_cast<std::size_t>(part)]; }
};

/// Keeps views into `data`.
Placement place_tensors(const CheckpointData& data);

}  // namespace kilter::model
