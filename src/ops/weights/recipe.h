// How an output was made, in words a program can follow. Source: spec/recipe.md.
#pragma once

#include <string>
#include <vector>

#include "kilter/weights.h"

#include "ops/weights/weights_input.h"

namespace kilter::ops {

struct RecipeInput {
  std::string address;
  std::string digest;  ///< content_digest()
};

/// Everything that names content. Weights are kept to the last bit.
struct Recipe {
  std::string verb;  ///< "cast", "average", "merge-weighted", "merge-slerp", …
  std::vector<RecipeInput> inputs;
  std::vector<double> weights;  ///< of average, by input; of the merges: the ratio alone
  std::optional<DType> dtype;
  std::vector<std::pair<std::string, DType>> keep;
  std::set<Allow> allow;
};

/// Compact JSON, the same for the same recipe.
std::string write_recipe(const Recipe& recipe);
/// Errors: kMalformed; kUnsupported for a version or verb this program does not know.
Result<Recipe> parse_recipe(std::string_view text);

/// Each input with its address (absolute, if it is a path) and digest; zeros in a dry run.
Result<std::vector<RecipeInput>> describe_inputs(const std::vector<WeightsInput>& inputs,
                                                 const WeightsOptions& options);

}  // namespace kilter::ops
