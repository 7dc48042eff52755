// kilter merge RECIPE.yml DST: the part of `kilter merge` that follows a recipe.
#pragma once

#include "kilter/weights.h"

#include "cli/command.h"

namespace kilter::cli {

/// With two positionals: recipe and target. Errors: as merge_recipe().
Result<WeightsReport> make_merge_recipe(const Invocation& invocation);

}  // namespace kilter::cli
