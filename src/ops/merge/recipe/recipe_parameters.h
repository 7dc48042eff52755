// What recipes may say of numbers: which parameters there are, whom they concern, and their value
// for one tensor.
#pragma once

#include <span>
#include <string_view>

#include "ops/merge/recipe/merge_recipe.h"

namespace kilter::ops {

enum class ParameterScope : std::uint8_t {
  kTerm,    ///< each model its own
  kTensor,  ///< one for the output tensor
  kNone,    ///< read and without effect: it never changed the result
};
struct ParameterRule {
  std::string_view name;
  ParameterScope scope = ParameterScope::kTerm;
  bool is_flag = false;
  bool required = false;  ///< a recipe must state it
};
/// What the method reads. Source: docs/merge-recipes.md.
std::span<const ParameterRule> parameter_rules(MergeMethod method);

/// True for parameters of any method. Recipes may carry those of another: they change nothing.
bool is_parameter_name(std::string_view name);
/// The nearest one; empty if none is near.
std::string nearest_parameter(std::string_view name);

/// Where a tensor stands. Levels go from the one that counts most: source, slice, module, recipe.
struct ParameterPlace {
  std::string_view tensor;  ///< what filters look at
  double position = 0;      ///< among the layers, 0 to 1
  std::vector<const Parameters*> levels;
};

/// Errors: kInvalidArgument with line and column for values that are no numbers or flags.
Status read_term_parameters(MergeMethod method, const ParameterPlace& place, TermParameters& out);
Status read_tensor_parameters(MergeMethod method, const ParameterPlace& place,
                              MergeParameters& out);

}  // namespace kilter::ops
