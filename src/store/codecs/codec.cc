#include "store/codecs/codec.h"

#include <algorithm>
#include <array>

#include "store/codecs/forms.h"

namespace kilter::store {
namespace {

struct ElementRow {
  std::string_view name;
  std::uint8_t bytes;
};

constexpr std::array<ElementRow, kElementCount> kElementTable = {{
    {"bytes", 1},
    {"bf16", 2},
    {"f16", 2},
    {"f32", 4},
    {"f64", 8},
    {"f8_e4m3", 1},
    {"f8_e5m2", 1},
    {"int16", 2},
    {"int32", 4},
    {"int64", 8},
}};

constexpr std::array<std::string_view, 5> kFormNames = {"raw", "zstd", "exponent", "delta", "cast"};

}  // namespace

std::size_t element_bytes(Element element) {
  return kElementTable[static_cast<std::size_t>(element)].bytes;
}
std::string_view element_name(Element element) {
  return kElementTable[static_cast<std::size_t>(element)].name;
}
std::string_view form_name(Form form) { return kFormNames[static_cast<std::size_t>(form)]; }

std::span<const Codec* const> all_codecs() {
  static const std::array<const Codec*, 5> codecs = {&raw_codec(), &zstd_codec(), &exponent_codec(),
                                                     &delta_codec(), &cast_codec()};
  return codecs;
}

const Codec* find_codec(Form form) {
  const auto number = static_cast<std::size_t>(form);
  return number < all_codecs().size() ? all_codecs()[number] : nullptr;
}

}  // namespace kilter::store
