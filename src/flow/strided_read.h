// Strided views read from a file in bounded memory.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "kilter/tensor_index.h"

#include "tensor/layout.h"

namespace kilter::flow {

/// Fills `out` from byte `offset_bytes` of the storage.
using StorageRead = std::function<Status(std::uint64_t offset_bytes, std::span<std::byte> out)>;

/// Reads ranges of a view's C-order traversal whatever its strides. The range is cut into boxes
/// (one interval for each dimension); a box's bytes come in runs, as long as the storage's order
/// allows and gaps are worth reading over, and are put in order by the gather kernel. Reads ascend
/// within a box, so that a storage that can only be decoded forwards is passed once.
class StridedReader {
 public:
  /// `tensor` passed TensorIndex::validate(), has elements, and its dtype fills whole bytes.
  explicit StridedReader(const TensorInfo& tensor);

  /// Elements [first, first + count) into `out`, using at most `scratch.size()` further bytes (at
  /// least kScratchBytesMin). Errors: those of `read`.
  Status read(const StorageRead& read, std::uint64_t first, std::uint64_t count,
              std::span<std::byte> out, std::span<std::byte> scratch) const;

  /// What reading the first `count` elements costs, in bytes: those read, gaps included, and a
  /// fixed number for each call of `read`.
  std::uint64_t read_cost_bytes(std::uint64_t count) const;

  static constexpr std::size_t kScratchBytesMin = 64 * 1024;

 private:
  std::vector<Dim> dims_;  // outermost first, at least one
  std::uint64_t offset_elements_;
  std::uint32_t element_bytes_;
};

}  // namespace kilter::flow
