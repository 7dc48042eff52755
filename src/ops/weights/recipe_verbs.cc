#include "ops/weights/recipe_verbs.h"

namespace kilter::ops {
namespace {

constexpr RecipeVerb kVerbs[] = {
    {"cast", follow_cast},
    {"average", follow_average},
    {"merge-weighted", follow_merge},
    {"merge-slerp", follow_merge},
    {"merge-add-difference", follow_merge},
    {"merge-recipe", follow_merge_recipe},
    {"adapter-extract", follow_adapter_extract},
    {"adapter-resize", follow_adapter_resize},
    {"adapter-combine", follow_adapter_combine},
    {"ema", follow_ema},
    {"average-federated", follow_average_federated},
    {"adapter-apply", follow_adapter_apply},
    {"prune", follow_prune},
    {"strip", follow_strip},
    {"rename", follow_rename},
    {"shard", follow_shard},
    {"adapter-convert", follow_adapter_convert},
};

}  // namespace

std::span<const RecipeVerb> recipe_verbs() { return kVerbs; }

Result<Follow> find_follow(const Recipe& recipe, std::span<const RecipeVerb> further) {
  for (const std::span<const RecipeVerb> rows : {recipe_verbs(), further})
    for (const RecipeVerb& row : rows)
      if (row.name == recipe.verb) return row.follow;
  return fail(Error(ErrorCode::kUnsupported, "the recipe is of a kind this program cannot follow")
                  .wanted("a verb of spec/recipe.md", recipe.verb)
                  .advise("use a newer Kilter"));
}

}  // namespace kilter::ops
