// Tensors straight into memory that is there already: a model's own parameters.
#pragma once

#include <span>
#include <vector>

#include "kilter/progress.h"

#include "flow/source.h"

namespace kilter::flow {

/// Where one tensor goes: `out` has exactly its bytes (contiguous, C order, little-endian).
struct IntoTarget {
  std::size_t tensor = 0;  ///< number in the source's index
  std::span<std::byte> out;
};

struct IntoOptions {
  /// Compare with the CRC-32 that the container states, where one tensor is a whole storage. What a
  /// store gives is always checked.
  bool verify = true;
};

/// Fills all targets, with all processors, and with many direct reads at once from what the page
/// cache does not hold. No second copy is made: what is read directly passes through a few buffers
/// of 4 MiB. After an error, some targets may have been filled.
///
/// Errors: kInvalidArgument for a target of the wrong size; kCorrupt for a checksum that does not
/// fit; kIo, kCancelled, or what the source reported, with path and tensor.
Status read_into(const Source& source, std::span<const IntoTarget> targets,
                 const IntoOptions& options, const RunContext& context);

}  // namespace kilter::flow
