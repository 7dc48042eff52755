// Matches the tensors of several checkpoints and plans their weighted sums.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "flow/plan.h"
#include "ops/weights/weights_input.h"

namespace kilter::ops {

/// Gaussian noise on every float, by seed, tensor name and element (base/counter_random.h).
struct BlendNoise {
  std::uint64_t seed = 0;
  double deviation = 0;
};

struct BlendRequest {
  std::string verb;
  std::vector<double> coefficients;  ///< one for each input; of a tensor: their weighted sum
  /// Instead of those, for tensors of these names.
  std::map<std::string, std::vector<double>> own_coefficients;
  /// A tensor that some inputs lack has the others' coefficients scaled up to the same sum.
  bool rescale_for_missing = false;
  /// Four input channels of a convolution blend with the first four of nine or eight.
  bool widen_channels = false;
  std::optional<DType> dtype;
  std::set<Allow> allow;
  std::optional<BlendNoise> noise = std::nullopt;
};

struct BlendPlan {
  Plan plan;
  std::vector<WeightsReport::Tensor> tensors;
  unsigned passes_before = 0;  ///< over the inputs, for coefficients: for a dry run's estimate
};

/// Names and order are those of the first input. Errors: kInvalidArgument that names every kind of
/// mismatch with its first tensors, and what would allow it.
Result<BlendPlan> plan_blend(const std::vector<WeightsInput>& inputs, const BlendRequest& request);

}  // namespace kilter::ops
