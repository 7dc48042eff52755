#include "ops/slim/scale_grid.h"

namespace kilter::ops {

void multiply_scales(const ScaleGrid& grid, std::uint64_t first, std::span<double> values) {
  for_each_scale_run(grid, first, values.size(), [&](const ScaleRun& run) {
    const double scale = static_cast<double>(grid.values[run.block]);
    for (double& value : values.subspan(run.begin, run.count)) value *= scale;
  });
}

void divide_scales(const ScaleGrid& grid, std::uint64_t first, std::span<double> values) {
  for_each_scale_run(grid, first, values.size(), [&](const ScaleRun& run) {
    const double scale = static_cast<double>(grid.values[run.block]);
    for (double& value : values.subspan(run.begin, run.count)) value /= scale;
  });
}

}  // namespace kilter::ops
