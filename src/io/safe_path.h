// Names that come from a file never lead out of their root.
#pragma once

#include <string>
#include <string_view>

#include "io/file_system.h"

namespace kilter::io {

/// Checks a relative name by POSIX and Windows rules together on every system: no empty name,
/// absolute path, drive letter, UNC prefix, backslash, "..", "." part, NUL, control character,
/// trailing dot or space, or Windows device name. Errors: kUnsafe with the name and the reason.
Status check_relative_name(std::string_view name);

/// Opens `name` beneath `root` for reading: checks the name, and that no part of it is a symlink
/// that leads out of the root (openat beneath the root). Errors: kUnsafe, or as open_read().
Result<std::unique_ptr<ReadFile>> open_beneath(FileSystem& files, const std::string& root,
                                               std::string_view name);

}  // namespace kilter::io
