// How ZeRO cuts parameters over ranks, and how they are put together again.
// Source: docs of deepspeed/utils/zero_to_fp32.py; runtime/zero/stage_1_and_2.py, stage3.py.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kilter/error.h"

#include "formats/deepspeed/flat_vector.h"

namespace kilter::deepspeed {

/// Where a parameter begins in its group, and its elements.
struct Place {
  std::uint64_t offset = 0;
  std::uint64_t count = 0;
};

/// One quantity (the fp32 weights, exp_avg, …) of one group of parameters, over all ranks.
///
/// Stages 1 and 2: one vector, the ranks' partitions one behind another; a parameter lies in a row.
/// Stage 3: a vector for each rank; of each parameter every rank holds ceil(count / ranks)
/// elements, the last padded.
struct Partitioned {
  bool every_rank = false;  ///< stage 3
  std::vector<FlatVector> vectors;

  /// True if the parameter's elements are all there.
  bool holds(const Place& place) const;
  /// The parts that make up a parameter, in order. Only where holds().
  std::vector<FlatPart> cut(const Place& place) const;
  /// Elements of a parameter that each vector holds.
  std::uint64_t share(std::uint64_t count) const;
};

/// Parameters that were flattened together.
struct Group {
  struct Parameter {
    std::string name;
    std::vector<std::int64_t> shape;
    Place place;
  };
  std::vector<Parameter> parameters;
  DType dtype = DType::kF32;
  Partitioned weights;
  struct Slot {
    DType dtype = DType::kF32;
    Partitioned values;
  };
  std::map<std::string, Slot> slots;  ///< of the optimizer, as long as the weights
};

}  // namespace kilter::deepspeed
