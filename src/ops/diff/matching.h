// Which tensor of one checkpoint is which of the other.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kilter/progress.h"

#include "ops/weights/weights_input.h"

namespace kilter::ops {

/// One row of a difference: two tensors, runs of whole rows of them, or one alone.
struct TensorMatch {
  std::optional<std::size_t> a, b;  ///< in WeightsInput::names
  std::string rule;                 ///< empty: the same name
  std::optional<bool>
      meta_is_a;  ///< one is named as Meta's: its queries and keys may be in another order
  /// Where several tensors of one side lie in one of the other: rows [first, first + count).
  std::uint64_t first_row_a = 0, first_row_b = 0;
  std::optional<std::uint64_t> row_count;
};

/// By name; what is left by common names (src/model/naming.h), by tensors that the other side
/// has fused, and at last by equal content (shape, dtype and digest, where that is unambiguous;
/// reads those tensors). In A's order, then what only B has.
/// Errors: kIo, kCorrupt, kCancelled.
Result<std::vector<TensorMatch>> match_tensors(const WeightsInput& a, const WeightsInput& b,
                                               unsigned thread_count, const RunContext& context);

}  // namespace kilter::ops
