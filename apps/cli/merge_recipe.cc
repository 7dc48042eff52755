#include "cli/merge_recipe.h"

#include "kilter/merge_recipe.h"

#include "base/try.h"
#include "cli/weights_options.h"
#include "store/address.h"

namespace kilter::cli {

Result<WeightsReport> make_merge_recipe(const Invocation& invocation) {
  const std::vector<std::string>& given = invocation.arguments.positionals;
  WeightsOptions options;
  KILTER_TRY(read_weights_options(invocation, options));
  KILTER_ASSIGN(const MergeRecipeText recipe, read_merge_recipe(given.at(0)));
  KILTER_ASSIGN(const std::vector<std::string> sources, merge_recipe_sources(recipe));
  const auto files = store::files_for(sources, &options.max_memory_bytes);
  options.open.files = files.get();
  return merge_recipe(recipe, given.at(1), options);
}

}  // namespace kilter::cli
