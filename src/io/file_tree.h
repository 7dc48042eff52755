// All files below a folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/file_system.h"

namespace kilter::io {

struct FileTreeLimits {
  std::uint64_t count_max = 1'000'000;  ///< entries of any kind
  std::uint32_t depth_max = 64;         ///< parts of a relative path
};

struct FileTreeEntry {
  std::string path;  ///< relative to the root, '/' between parts
  FileStat stat;     ///< of what it leads to; kSymlink if that is missing
  bool symlink = false;
};

struct FileTree {
  /// Regular files and symlinks to such, sorted by path. Read them by
  /// `open_read(join_path(root, path))`: their names come from the folder itself, so a symlink
  /// may lead out of it (Hugging Face's cache keeps every file so).
  std::vector<FileTreeEntry> files;
  /// What is no file: symlinks to folders (never entered), broken symlinks, devices. Sorted.
  std::vector<FileTreeEntry> others;
  /// Folders below the root that could not be listed.
  std::vector<Error> errors;

  /// The file of that relative path; nullptr if none. Binary search.
  const FileTreeEntry* find(std::string_view path) const;
};

/// Lists `root` and everything below it. Errors: as FileSystem::list() for the root itself;
/// kLimitExceeded with the path that broke a limit.
Result<FileTree> list_file_tree(FileSystem& files, const std::string& root,
                                const FileTreeLimits& limits = {});

}  // namespace kilter::io
