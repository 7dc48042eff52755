// JSON: what parses survives a round trip; what does not comes back as an error.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/text.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto value = kilter::parse_json(text);
  if (!value) {
    if (value.error().text().empty()) std::abort();
    return 0;
  }
  if (!kilter::is_valid_utf8(text)) std::abort();
  const std::string dumped = kilter::dump_json(*value, -1);
  const auto again = kilter::parse_json(dumped);
  if (!again || kilter::dump_json(*again, -1) != dumped) std::abort();
  return 0;
}
