// Recipes of merges: nothing breaks, and what is read is written so that it reads back the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "ops/merge/recipe/merge_recipe.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto node = kilter::ops::read_yaml(text)) {
    const std::string written = kilter::ops::write_yaml(*node);
    const auto again =
        kilter::ops::read_yaml(written, {.bytes_max = 256 << 20, .text_bytes_max = 256 << 20});
    if (!again || kilter::ops::write_yaml(*again) != written) std::abort();
  }
  const auto recipe = kilter::ops::parse_merge_recipe(text);
  if (!recipe) return 0;
  const auto again = kilter::ops::parse_merge_recipe(recipe->text);
  if (!again || again->text != recipe->text) std::abort();
  return 0;
}
