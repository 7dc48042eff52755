// Recipes of weights: nothing breaks, and what is accepted is written and read back the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "ops/weights/recipe.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto recipe = kilter::ops::parse_recipe({reinterpret_cast<const char*>(data), size});
  if (!recipe) return 0;
  const std::string text = kilter::ops::write_recipe(*recipe);
  const auto again = kilter::ops::parse_recipe(text);
  if (!again || kilter::ops::write_recipe(*again) != text) std::abort();
  return 0;
}
