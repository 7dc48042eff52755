// What must be known of whole tensors before they can be pruned: thresholds and norms, found in
// passes of bounded memory that give the same for any number of threads.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kilter/progress.h"

#include "ops/slim/prune_rule.h"
#include "ops/weights/weights_input.h"

namespace kilter::ops {

struct PruneTensor {
  std::size_t tensor = 0;  ///< of the input
  std::string name;
  DType dtype = DType::kF32;
  std::uint64_t elements = 0;
};

/// One rule for each tensor. round(sparsity * elements), half to even, go: of each tensor, or of
/// all together (which then must have one dtype). Errors: kCancelled, or what the source reports.
Result<std::vector<std::shared_ptr<const PruneRule>>> find_thresholds(
    const WeightsInput& input, const std::vector<PruneTensor>& tensors, double sparsity,
    bool global, unsigned thread_count, const RunContext& context);

/// How a tensor is cut into slices: element i lies in slice (i / inner) % count.
struct PruneSlices {
  std::uint64_t inner = 1, count = 1;
};

/// The round(fraction * count) slices of smallest L2 norm go; of equal ones those of higher index.
Result<std::vector<std::shared_ptr<const PruneRule>>> find_weak_slices(
    const WeightsInput& input, const std::vector<PruneTensor>& tensors,
    const std::vector<PruneSlices>& slices, double fraction, unsigned thread_count,
    const RunContext& context);

/// round(share * count), half to even.
std::uint64_t share_of(double share, std::uint64_t count);

}  // namespace kilter::ops
