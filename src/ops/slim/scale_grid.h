// The numbers that blocks of a matrix of f8 are multiplied with.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace kilter::ops {

/// One scale for each block of `block_rows` by `block_columns`; the last ones of a row or column
/// may be cut. Blocks lie in C order.
struct ScaleGrid {
  std::uint64_t rows = 0, columns = 0;
  std::uint64_t block_rows = 1, block_columns = 1;
  std::vector<float> values;

  std::uint64_t count_down() const { return (rows + block_rows - 1) / block_rows; }
  std::uint64_t count_across() const { return (columns + block_columns - 1) / block_columns; }
};
using SharedScales = std::shared_ptr<const ScaleGrid>;

/// A run of elements that lie in one row of one block.
struct ScaleRun {
  std::size_t begin = 0, count = 0;  ///< of the elements asked for
  std::uint64_t block = 0;           ///< into ScaleGrid::values
};

/// Calls `use` with the runs of elements [first, first + count) of the matrix in C order.
template <typename Use>
void for_each_scale_run(const ScaleGrid& grid, std::uint64_t first, std::size_t count, Use use) {
  std::uint64_t row = first / grid.columns, column = first % grid.columns;
  for (std::size_t at = 0; at < count;) {
    const std::uint64_t across = column / grid.block_columns;
    const std::uint64_t end = std::min(grid.columns, (across + 1) * grid.block_columns);
    const auto some = static_cast<std::size_t>(std::min<std::uint64_t>(end - column, count - at));
    use(ScaleRun{at, some, row / grid.block_rows * grid.count_across() + across});
    at += some;
    column += some;
    if (column == grid.columns) {
      column = 0;
      ++row;
    }
  }
}

/// values[i] *= the scale of element first + i. Exact for elements of f8.
void multiply_scales(const ScaleGrid& grid, std::uint64_t first, std::span<double> values);
/// values[i] /= the scale of element first + i.
void divide_scales(const ScaleGrid& grid, std::uint64_t first, std::span<double> values);

}  // namespace kilter::ops
