// Every byte of a file in order, in a bounded window.
#pragma once

#include <functional>

#include "kilter/progress.h"

#include "base/byte_reader.h"
#include "flow/source.h"
#include "io/file_system.h"

namespace kilter {

/// Calls `use` with consecutive blocks of `file`, front to back, on the calling thread, while the
/// next block is being read. Two blocks of `block_bytes` are held. `done_bytes`, if given, is
/// increased and reported to the context's progress after each block.
/// Errors: kIo, kCancelled, or what `use` returned.
Status for_each_block(const io::ReadFile& file, const RunContext& context,
                      const std::function<Status(std::uint64_t offset_bytes, Bytes block)>& use,
                      std::uint64_t* done_bytes = nullptr, std::size_t block_bytes = 4U << 20);

/// Whether two tensors of one source hold the same bytes (contiguous form). Errors: as
/// read_tensor().
Result<bool> equal_tensors(const Source& source, std::size_t a, std::size_t b,
                           const RunContext& context);

}  // namespace kilter
