// Tensors that go across as they are: what strip, rename and shard have in common.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "kilter/weights.h"

#include "ops/weights/recipe.h"
#include "ops/weights/weights_input.h"

namespace kilter::ops {

/// What becomes of one tensor.
struct CopiedTensor {
  std::size_t tensor = 0;  ///< of the input
  std::string name;        ///< in the output; empty if dropped
  std::string reason;      ///< the rule that dropped or renamed it
};

struct CopyJob {
  Recipe recipe;  ///< verb and own keys; inputs and allowances are filled in
  bool keep_metadata = true;
  std::map<std::string, std::string> left_files = {};  ///< companions that stay behind, and why
};

/// Copies `tensors` (one for each of the input, in its order) to `target`.
/// Errors: as write_weights().
Result<WeightsReport> copy_weights(const WeightsInput& input,
                                   const std::vector<CopiedTensor>& tensors, CopyJob job,
                                   const std::string& target, const WeightsOptions& options);

}  // namespace kilter::ops
