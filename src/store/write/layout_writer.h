// Stores files that lie on no disk: laid out by sinks, their tensors in memory.
#pragma once

#include <functional>
#include <vector>

#include "flow/sink.h"
#include "store/write/chunk_writer.h"

namespace kilter::store {

struct LaidOutFiles {
  std::vector<FileLayout> files;  ///< of literals, zeros and outputs
  std::vector<PlanOutput> outputs;
  /// Fills bytes of an output. Outputs of at least kTensorBytesMin are asked for in whole pieces of
  /// piece_bytes_of(dtype), each once; from any thread.
  std::function<Status(std::size_t output, std::uint64_t offset_bytes, std::span<std::byte> out)>
      read;
};

/// Adds the files to `writer` and lists them in `tree`. Both `source` and `tree` must stay where
/// they are until writer.wait(). The commit is the same as for these files read from a disk.
/// Errors: those of `read` and of the writer; kInvalidArgument for names; kInternal for layouts
/// with segments whose bytes are known late.
Status add_laid_out(LaidOutFiles& source, ChunkWriter& writer, Tree& tree,
                    const RunContext& context);

}  // namespace kilter::store
