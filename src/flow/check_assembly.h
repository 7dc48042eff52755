// Whether the pieces of an assembly fill it.
#pragma once

#include "kilter/tensor_index.h"

namespace kilter::flow {

/// Checks shape, boxes and cover of an assembly that shall hold `bytes` bytes: every box lies in
/// the whole, and together they hold each element exactly once. What the pieces are views of is not
/// looked at. O(n log n) in the number of pieces times their corners.
/// Errors: kMalformed, with what was expected and found; kLimitExceeded past kAssemblyCornersMax.
Status check_assembly(const Assembly& assembly, std::uint64_t bytes);

/// A box has 2 corners for each dimension in which pieces are cut, multiplied.
inline constexpr std::uint64_t kAssemblyCornersMax = 1ULL << 23;

}  // namespace kilter::flow
