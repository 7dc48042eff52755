// Scales for f8 weights: the largest number of each block, found in one pass of bounded memory.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kilter/dtype.h"
#include "kilter/progress.h"

#include "ops/slim/scale_grid.h"
#include "ops/weights/weights_input.h"

namespace kilter::ops {

struct ScaleSearch {
  std::size_t tensor = 0;  ///< of the input
  std::string name;
  DType from = DType::kF32, to = DType::kF8E4M3FN;
  SharedScales held;                ///< scales that the input's elements have; null: none
  std::shared_ptr<ScaleGrid> grid;  ///< rows, columns and blocks are set; values are filled in
};

/// The smallest scale: the smallest normal float32, so that no quotient rounds beyond the dtype.
inline constexpr double kScaleMin = 0x1p-126;

/// scale = float32(max(largest magnitude of the block / largest number of `to`, kScaleMin)), the
/// quotient in binary64; 1 for a block of zeros. NaN and infinities are left out of account if they
/// are allowed. The same for any number of threads.
/// Errors: kMalformed for NaN or infinities, kOutOfRange for scales beyond float32; kCancelled, or
/// what the source reports.
Status find_scales(const WeightsInput& input, const std::vector<ScaleSearch>& searches,
                   bool allow_not_finite, unsigned thread_count, const RunContext& context);

}  // namespace kilter::ops
