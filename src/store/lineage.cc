// What a checkpoint says of where it comes from, as a commit keeps it.
#include "kilter/checkpoint.h"

#include "base/try.h"
#include "ops/weights/recipe.h"
#include "store/address.h"
#include "store/save.h"

namespace kilter::store {
namespace {

/// nullopt where there is none that can be read: saving is not the place to judge it.
std::optional<ops::Recipe> recipe_of(io::FileSystem& files, const std::string& source) {
  OpenOptions options;
  options.files = &files;
  const auto checkpoint = open_checkpoint(source, options);
  if (!checkpoint) return std::nullopt;
  const auto text = ops::find_recipe(*checkpoint, options);
  if (!text) return std::nullopt;
  auto recipe = ops::parse_recipe(*text);
  return recipe ? std::optional(*std::move(recipe)) : std::nullopt;
}

}  // namespace

Result<SortedJson> lineage_of_source(io::FileSystem& files, const std::string& source) {
  SortedJson out = SortedJson::array();
  if (parse_store_address(source)) {
    KILTER_ASSIGN(const std::string input, lineage_input(source));
    out.push_back(lineage_entry("copy", SortedJson::object(), {input}));
  }
  const auto recipe = recipe_of(files, source);
  if (!recipe) return out;
  SortedJson parameters = SortedJson::object();
  for (const auto& [key, value] : recipe->own.items()) parameters[key] = SortedJson(value);
  for (const Allow allow : recipe->allow) parameters["allow"].push_back(allow_name(allow));
  for (const ops::RecipeInput& input : recipe->inputs)
    parameters["content"].push_back(input.digest);
  out.push_back(lineage_entry(recipe->verb, parameters, ops::recipe_addresses(*recipe)));
  return out;
}

}  // namespace kilter::store
