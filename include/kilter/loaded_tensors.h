// A checkpoint's tensors in memory, as Checkpoint::load() gives them. Owned by the floor `flow`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace kilter {

enum class LoadMode : std::uint8_t {
  kAuto,  ///< map what the page cache holds, read the rest directly
  kMap,   ///< map the file; pages come when touched
  kRead,  ///< read into fresh memory of our own
};

/// Tensors in memory. Contiguous, C order, little-endian; spans stay valid as long as this object.
class LoadedTensors {
 public:
  virtual ~LoadedTensors() = default;
  /// The bytes of tensor number `tensor` in Checkpoint::tensors(), which must be below its size.
  virtual std::span<const std::byte> bytes(std::size_t tensor) const = 0;
  virtual LoadMode mode() const = 0;  ///< how it was done: kMap or kRead
};

}  // namespace kilter
