// Every file below the paths a user named.
#pragma once

#include <string>
#include <vector>

#include "kilter/progress.h"

#include "io/file_system.h"

namespace kilter::ops {

/// Something on the way that could not be looked at.
struct WalkFault {
  std::string path;
  std::string rule;  ///< "file.unreadable", "file.not-followed", "file.limit"
  Error error;
};

/// Appends `path` if it is a file, else all files below it, sorted within each folder. Symlinks to
/// files are followed (hub caches are made of them), symlinks to folders and special files are
/// faults. Error only when cancelled.
Status walk_files(io::FileSystem& files, const std::string& path, const RunContext& context,
                  std::vector<std::string>* found, std::vector<WalkFault>* faults);

}  // namespace kilter::ops
