// States of unfinished outputs: nothing breaks, and what is accepted is written and read the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "ops/unfinished_output.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto state = kilter::ops::parse_partial_state({reinterpret_cast<const char*>(data), size});
  if (!state) return 0;
  const std::string text = kilter::ops::write_partial_state(*state);
  const auto again = kilter::ops::parse_partial_state(text);
  if (!again || kilter::ops::write_partial_state(*again) != text) std::abort();
  return 0;
}
