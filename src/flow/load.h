// A whole checkpoint's tensors into memory, as fast as the machine can.
#pragma once

#include <memory>
#include <span>

#include "kilter/loaded_tensors.h"
#include "kilter/progress.h"

#include "flow/source.h"

namespace kilter {

/// What may be done with mapped tensors. Memory of our own may always be written.
enum class MapAccess : std::uint8_t {
  kReadOnly,
  kCopyOnWrite,  ///< spans may be cast to plain std::byte and written; the file never changes
};

Result<std::unique_ptr<LoadedTensors>> load_tensors(std::shared_ptr<const Source> source,
                                                    LoadMode mode, const RunContext& context,
                                                    MapAccess access = MapAccess::kReadOnly);

/// The same for whole storages, by their number in the source's index: what tensors with strides,
/// and those that share memory, are views of. Decoded, in the byte order of the machine (of the
/// first tensor's dtype, where the file is big-endian).
Result<std::unique_ptr<LoadedTensors>> load_storages(std::shared_ptr<const Source> source,
                                                     LoadMode mode, const RunContext& context,
                                                     MapAccess access = MapAccess::kReadOnly);

/// A part of a tensor and the memory that it shall fill.
struct TensorRange {
  std::size_t tensor = 0;
  std::uint64_t offset_bytes = 0;  ///< in the tensor's contiguous form
  std::span<std::byte> out;
};

/// Fills all ranges, on all processors: a rank's shards into parameters that exist.
/// Errors: those of Source::read_tensor; kCancelled. What was filled until then stays so.
Status read_ranges(std::shared_ptr<const Source> source, std::span<const TensorRange> ranges,
                   const RunContext& context);

}  // namespace kilter
