#include "tensor/kernels/transpose.h"

#include <algorithm>
#include <cstring>

// Highway compiles this file once for each instruction set and chooses when the program runs.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tensor/kernels/transpose.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef KILTER_TRANSPOSE_ONCE_
#define KILTER_TRANSPOSE_ONCE_
namespace kilter {

// A tile is one cache line square; a strip is how many rows are finished before the next columns
// begin. Long strips use more of each source page while its address is still in the TLB.
inline constexpr std::size_t kLineBytes = 64;
inline constexpr std::int64_t kStripRows = 128;

}  // namespace kilter
#endif  // KILTER_TRANSPOSE_ONCE_

HWY_BEFORE_NAMESPACE();
namespace kilter::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR || HWY_HAVE_SCALABLE
inline constexpr bool kHasSquares = false;
#else
inline constexpr bool kHasSquares = true;

/// Transposes kLanes x kLanes elements: log2(kLanes) rounds of a perfect shuffle, each of which
/// interleaves the first half of the vectors with the second. Strides count bytes.
template <std::size_t kBytes>
HWY_INLINE void transpose_square(const std::uint8_t* source, std::ptrdiff_t source_col,
                                 std::uint8_t* target, std::ptrdiff_t target_row) {
  constexpr std::size_t kLanes = 16 / kBytes;
  const hn::FixedTag<hwy::UnsignedFromSize<kBytes>, kLanes> d;
  const hn::FixedTag<std::uint8_t, 16> d8;
  hn::Vec<decltype(d)> from[kLanes], to[kLanes];
  for (std::size_t i = 0; i < kLanes; ++i, source += source_col) {
    from[i] = hn::BitCast(d, hn::LoadU(d8, source));
  }
  for (std::size_t round = 1; round < kLanes; round *= 2) {
    for (std::size_t i = 0; i < kLanes / 2; ++i) {
      to[2 * i] = hn::InterleaveLower(d, from[i], from[i + kLanes / 2]);
      to[2 * i + 1] = hn::InterleaveUpper(d, from[i], from[i + kLanes / 2]);
    }
    for (std::size_t i = 0; i < kLanes; ++i) from[i] = to[i];
  }
  for (std::size_t i = 0; i < kLanes; ++i, target += target_row) {
    hn::StoreU(hn::BitCast(d8, from[i]), d8, target);
  }
}
#endif

/// Rows [row, row_end) and columns [col, col_end) of a block.
struct Cells {
  std::int64_t row, row_end, col, col_end;
};

template <std::size_t kBytes>
HWY_INLINE const std::byte* source_at(const TransposeBlock& b, std::int64_t r, std::int64_t c) {
  return b.source + (r * b.source_row + c * b.source_col) * static_cast<std::ptrdiff_t>(kBytes);
}

template <std::size_t kBytes>
HWY_INLINE std::byte* target_at(const TransposeBlock& b, std::int64_t r, std::int64_t c) {
  return b.target + (r * b.target_row + c) * static_cast<std::ptrdiff_t>(kBytes);
}

template <std::size_t kBytes>
HWY_INLINE void copy_cells(const TransposeBlock& b, const Cells& cells) {
  for (std::int64_t r = cells.row; r < cells.row_end; ++r) {
    for (std::int64_t c = cells.col; c < cells.col_end; ++c) {
      std::memcpy(target_at<kBytes>(b, r, c), source_at<kBytes>(b, r, c), kBytes);
    }
  }
}

#if HWY_TARGET != HWY_SCALAR && !HWY_HAVE_SCALABLE
template <std::size_t kBytes>
HWY_INLINE void transpose_cells(const TransposeBlock& b, const Cells& cells) {
  constexpr auto kLanes = static_cast<std::int64_t>(16 / kBytes);
  constexpr auto kElement = static_cast<std::ptrdiff_t>(kBytes);
  const std::int64_t rows_end = cells.row + (cells.row_end - cells.row) / kLanes * kLanes;
  const std::int64_t cols_end = cells.col + (cells.col_end - cells.col) / kLanes * kLanes;
  for (std::int64_t c = cells.col; c < cols_end; c += kLanes) {
    for (std::int64_t r = cells.row; r < rows_end; r += kLanes) {
      transpose_square<kBytes>(reinterpret_cast<const std::uint8_t*>(source_at<kBytes>(b, r, c)),
                               b.source_col * kElement,
                               reinterpret_cast<std::uint8_t*>(target_at<kBytes>(b, r, c)),
                               b.target_row * kElement);
    }
  }
  copy_cells<kBytes>(b, {cells.row, rows_end, cols_end, cells.col_end});
  copy_cells<kBytes>(b, {rows_end, cells.row_end, cells.col, cells.col_end});
}
#endif

template <std::size_t kBytes>
HWY_INLINE void transpose_tile(const TransposeBlock& b, const Cells& cells) {
  if constexpr (kHasSquares && kBytes < 16) {
    if (b.source_row == 1) return transpose_cells<kBytes>(b, cells);
  }
  copy_cells<kBytes>(b, cells);
}

template <std::size_t kBytes>
void transpose_tiles(const TransposeBlock& b) {
  constexpr auto kTile = static_cast<std::int64_t>(kLineBytes / kBytes);
  for (std::int64_t strip = 0; strip < b.rows; strip += kStripRows) {
    const std::int64_t strip_end = std::min(strip + kStripRows, b.rows);
    for (std::int64_t col = 0; col < b.cols; col += kTile) {
      const std::int64_t col_end = std::min(col + kTile, b.cols);
      for (std::int64_t row = strip; row < strip_end; row += kTile) {
        transpose_tile<kBytes>(b, {row, std::min(row + kTile, strip_end), col, col_end});
      }
    }
  }
}

void transpose_block(const TransposeBlock& b) {
  if (b.element_bytes == 1) return transpose_tiles<1>(b);
  if (b.element_bytes == 2) return transpose_tiles<2>(b);
  if (b.element_bytes == 4) return transpose_tiles<4>(b);
  if (b.element_bytes == 8) return transpose_tiles<8>(b);
  transpose_tiles<16>(b);
}

}  // namespace kilter::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kilter {

HWY_EXPORT(transpose_block);

void transpose(const TransposeBlock& block) { HWY_DYNAMIC_DISPATCH(transpose_block)(block); }

void transpose_reference(const TransposeBlock& b) {
  const auto element = static_cast<std::int64_t>(b.element_bytes);
  for (std::int64_t r = 0; r < b.rows; ++r) {
    for (std::int64_t c = 0; c < b.cols; ++c) {
      std::memcpy(b.target + (r * b.target_row + c) * element,
                  b.source + (r * b.source_row + c * b.source_col) * element, b.element_bytes);
    }
  }
}

}  // namespace kilter
#endif  // HWY_ONCE
