#include "ops/weights/recipe_verbs.h"

namespace kilter::ops {
namespace {

constexpr RecipeVerb kVerbs[] = {
    {"cast", follow_cast},
    {"average", follow_average},
    {"merge-weighted", follow_merge},
    {"merge-slerp", follow_merge},
    {"merge-add-difference", follow_merge},
    {"adapter-apply", follow_adapter_apply},
    {"adapter-convert", follow_adapter_convert},
    {"adapter-extract", follow_adapter_extract},
    {"adapter-resize", follow_adapter_resize},
    {"adapter-combine", follow_adapter_combine},
};

}  // namespace

std::span<const RecipeVerb> recipe_verbs() { return kVerbs; }

Result<Follow> find_follow(const Recipe& recipe) {
  for (const RecipeVerb& row : kVerbs)
    if (row.name == recipe.verb) return row.follow;
  return fail(Error(ErrorCode::kUnsupported, "the recipe is of a kind this program cannot follow")
                  .wanted("a verb of spec/recipe.md", recipe.verb)
                  .advise("use a newer Kilter"));
}

}  // namespace kilter::ops
