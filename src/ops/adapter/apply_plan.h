// Judges whether adapters fit a base, and plans the base with them applied.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "kilter/weights.h"

#include "flow/plan.h"
#include "model/adapters/description.h"
#include "ops/weights/weights_input.h"

namespace kilter::ops {

struct AppliedAdapter {
  const WeightsInput* input = nullptr;
  const model::AdapterDescription* description = nullptr;
  double strength = 1;
};

struct ApplyRequest {
  const WeightsInput* base = nullptr;
  std::vector<AppliedAdapter> adapters;  ///< in this order
  std::set<Allow> allow;
  std::uint64_t max_memory_bytes = 0;
  unsigned thread_count = 0;
};

struct ApplyPlan {
  Plan plan;
  std::vector<WeightsReport::Tensor> tensors;
  std::vector<std::string> notes;
  unsigned thread_count = 0;  ///< at most what the factors leave memory for
  std::uint64_t engine_memory_bytes = 0;
};

/// Errors: kInvalidArgument that names every module that is not in the base or does not fit, and
/// what would let it pass; kUnsupported for a quantized base and for settings no rule follows;
/// kLimitExceeded where factors are too large for the budget.
Result<ApplyPlan> plan_apply(const ApplyRequest& request);

}  // namespace kilter::ops
