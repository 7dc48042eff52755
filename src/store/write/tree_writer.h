// Stores the files of a checkpoint as chunks and says how to put them together again.
#pragma once

#include <string>

#include "store/write/chunk_writer.h"
#include "store/write/seen_files.h"

namespace kilter::store {

struct TreeSource {
  io::FileSystem* files = nullptr;
  std::string root;               ///< a file or a folder
  std::vector<std::string> skip;  ///< globs of relative paths that are left out
};

/// The files of a source as they were before they were read: by Tree::files.
using SourceStats = std::vector<io::FileStat>;

/// Adds everything below the source to `writer`. The tree is complete once writer.wait() is ok; it
/// must stay where it is until then. Symlinks to files are followed, everything else that is no
/// file is refused. Tensors of files that `seen` (may be null) knows are not read if the store has
/// them. Errors: as the file system's; kUnsafe, kInvalidArgument.
Status add_tree(const TreeSource& source, ChunkWriter& writer, Tree& tree, SourceStats& stats,
                const SeenFiles* seen, const RunContext& context);

/// Whether the files with tensors are still what they were. Errors: kIo, naming the one that is
/// not.
Status check_unchanged(const TreeSource& source, const Tree& tree, const SourceStats& stats);

/// Bytes of all files of the source.
Result<std::uint64_t> source_bytes(const TreeSource& source);

}  // namespace kilter::store
