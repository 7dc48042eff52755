// Where bytes lie in a file exactly as they are wanted.
#pragma once

#include <cstdint>
#include <optional>

#include "flow/plan.h"

namespace kilter::flow {

struct RawRange {
  std::uint32_t file = 0;  ///< in the source's index
  std::uint64_t offset_bytes = 0;
};

/// Of a tensor's contiguous form; nullopt if it must be gathered, decoded, swapped or changed, or
/// has no bytes.
std::optional<RawRange> raw_range(const TensorIndex& index, const TensorInfo& tensor);
/// Of an input that is copied as bytes of `dtype`.
std::optional<RawRange> raw_range(const PlanInput& input, DType dtype);

}  // namespace kilter::flow
