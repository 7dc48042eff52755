// The sum of several adapters' differences after some of their numbers are dropped, row by row.
//
// Sources: Yadav et al., TIES-Merging (2023); Yu et al., Language Models are Super Mario (2023),
// DARE.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ops/factors/lora_modules.h"
#include "ops/factors/matrix_rows.h"

namespace kilter::ops {

struct WeightedFactors {
  LoraFactors factors;  ///< the module's scale is in `down`
  double weight = 1;
  double scale = 1;  ///< that scale, not 0
};

struct CombineRule {
  CombineMethod method = CombineMethod::kTies;
  double density = 0.5;
  std::uint64_t seed = 0;  ///< of the module
};

/// Each difference is rounded to binary32 element by element. `kTies` and `kMagnitudePrune` keep of
/// each its `density` largest magnitudes (and all that equal the smallest kept); `kDare*` keep each
/// element with that probability and divide by it. `kTies` and `kDareTies` then keep, element by
/// element, what has the sign of the weighted sum; `kTies` divides by the weights of what is kept.
///
/// Reads every difference twice where magnitudes decide. Errors: kCancelled.
Result<std::unique_ptr<MatrixRows>> combined_rows(std::vector<WeightedFactors> parts,
                                                  const CombineRule& rule, std::string name,
                                                  const RunContext& context);

}  // namespace kilter::ops
