// Stores the files of a checkpoint as chunks and says how to put them together again.
#pragma once

#include <string>

#include "store/write/chunk_writer.h"

namespace kilter::store {

struct TreeSource {
  io::FileSystem* files = nullptr;
  std::string root;               ///< a file or a folder
  std::vector<std::string> skip;  ///< globs of relative paths that are left out
};

/// Adds everything below the source to `writer`. The tree is complete once writer.wait() is ok; it
/// must stay where it is until then. Symlinks to files are followed, everything else that is no
/// file is refused. Errors: as the file system's; kUnsafe, kInvalidArgument.
Status add_tree(const TreeSource& source, ChunkWriter& writer, Tree& tree,
                const RunContext& context);

/// Bytes of all files of the source.
Result<std::uint64_t> source_bytes(const TreeSource& source);

}  // namespace kilter::store
