// A whole checkpoint's tensors into memory, as fast as the machine can.
#pragma once

#include <memory>

#include "kilter/progress.h"

#include "flow/source.h"

namespace kilter {

enum class LoadMode : std::uint8_t {
  kAuto,  ///< map what the page cache holds, read the rest directly
  kMap,   ///< map the file; pages come when touched
  kRead,  ///< read into fresh memory of our own
};

/// Tensors in memory. Contiguous, little-endian; spans stay valid as long as this object.
class LoadedTensors {
 public:
  virtual ~LoadedTensors() = default;
  virtual Bytes bytes(std::size_t tensor) const = 0;  ///< by index in TensorIndex::tensors
  virtual LoadMode mode() const = 0;                  ///< how it was done: kMap or kRead
};

Result<std::unique_ptr<LoadedTensors>> load_tensors(std::shared_ptr<const Source> source,
                                                    LoadMode mode, const RunContext& context);

}  // namespace kilter
