#include "ops/slim/scale_grid.h"

#include <gtest/gtest.h>

namespace kilter::ops {
namespace {

ScaleGrid cut_grid() {
  ScaleGrid grid{5, 7, 2, 3, {}};  // 3 x 3 blocks, the last of each row and column cut
  for (int i = 0; i < 9; ++i) grid.values.push_back(static_cast<float>(i + 1));
  return grid;
}

double scale_at(const ScaleGrid& grid, std::uint64_t element) {
  const std::uint64_t row = element / grid.columns, column = element % grid.columns;
  return grid.values[row / grid.block_rows * grid.count_across() + column / grid.block_columns];
}

TEST(ScaleGrid, EveryRunOfElementsMeetsItsOwnScales) {
  const ScaleGrid grid = cut_grid();
  for (std::uint64_t first = 0; first < 35; ++first) {
    for (std::size_t count = 0; first + count <= 35; ++count) {
      std::vector<double> values(count, 6.0), back(count, 6.0);
      multiply_scales(grid, first, values);
      divide_scales(grid, first, back);
      for (std::size_t i = 0; i < count; ++i) {
        EXPECT_EQ(values[i], 6.0 * scale_at(grid, first + i));
        EXPECT_EQ(back[i], 6.0 / scale_at(grid, first + i));
      }
    }
  }
}

TEST(ScaleGrid, RunsStayInOneRowOfOneBlock) {
  const ScaleGrid grid = cut_grid();
  std::size_t total = 0;
  for_each_scale_run(grid, 3, 30, [&](const ScaleRun& run) {
    EXPECT_EQ(run.begin, total);
    EXPECT_LE(run.count, 3U);
    total += run.count;
  });
  EXPECT_EQ(total, 30U);
}

}  // namespace
}  // namespace kilter::ops
