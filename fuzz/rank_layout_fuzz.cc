// kilter-dcp.json: nothing breaks, and what is accepted has boxes of their tensors' dimensions.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "formats/dcp/rank_layout.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto layout = kilter::dcp::parse_rank_layout({reinterpret_cast<const char*>(data), size});
  if (!layout) return 0;
  for (const auto& tensor : layout->tensors)
    for (const auto& piece : tensor.pieces)
      if (piece.chunk.offsets.size() != tensor.shape.size() ||
          piece.chunk.sizes.size() != tensor.shape.size())
        std::abort();
  for (const auto& object : layout->objects)
    if (layout->path_of(object.name).empty()) std::abort();
  return 0;
}
