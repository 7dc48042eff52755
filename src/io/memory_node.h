// Files, folders and symlinks of the memory file system, each with a durable and a present state.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/file_system.h"

namespace kilter::io {

struct MemoryNode;
using MemoryNodePtr = std::shared_ptr<MemoryNode>;
using MemoryEntries = std::map<std::string, MemoryNodePtr>;

struct MemoryNode {
  FileKind kind = FileKind::kFile;
  std::string content;  // of a file; the target of a symlink
  std::string durable_content;
  MemoryEntries entries;  // of a folder
  MemoryEntries durable_entries;
  unsigned shared_locks = 0;
  bool exclusive_lock = false;
};

/// What a path leads to. `folder` and `name` are set when all but the last part exists.
struct MemorySpot {
  MemoryNodePtr folder;
  std::string name;
  MemoryNodePtr node;    // nullptr if the last part does not exist
  int error_number = 0;  // ENOENT, ENOTDIR, ELOOP, EXDEV (left `root` while beneath)
};

struct MemoryLookup {
  bool follow_last = true;
  bool beneath = false;  // absolute symlinks and ".." above the start are EXDEV
};

/// Walks from `start`, whose parents nobody names: ".." there stays there, as at "/".
MemorySpot find_memory_node(const MemoryNodePtr& start, const MemoryNodePtr& root,
                            std::string_view path, const MemoryLookup& lookup);

}  // namespace kilter::io
