// The inner loop of gather where rows of the result are columns of the source.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kilter {

/// A 2-D block: element (r, c) lies at source[r * source_row + c * source_col] and goes to
/// target[r * target_row + c]. Strides count elements of `element_bytes` (1, 2, 4, 8 or 16).
struct TransposeBlock {
  const std::byte* source = nullptr;
  std::byte* target = nullptr;
  std::int64_t source_row = 0, source_col = 0, target_row = 0;
  std::int64_t rows = 0, cols = 0;
  std::uint32_t element_bytes = 0;
};

/// Copies the block in tiles that stay in the cache, through vector registers where
/// `source_row` is 1. Source and target do not overlap; no alignment is needed.
void transpose(const TransposeBlock& block);

/// The same, one element at a time.
void transpose_reference(const TransposeBlock& block);

}  // namespace kilter
