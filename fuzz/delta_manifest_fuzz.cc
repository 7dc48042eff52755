// Manifests of deltas: nothing breaks, and what is accepted is written and read back the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "store/delta/delta_format.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kilter::store;
  const auto manifest = parse_delta_manifest({reinterpret_cast<const char*>(data), size});
  if (!manifest) return 0;
  const std::string text = write_delta_manifest(*manifest);
  const auto again = parse_delta_manifest(text);
  if (!again || write_delta_manifest(*again) != text) std::abort();
  return 0;
}
