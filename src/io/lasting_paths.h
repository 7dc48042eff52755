// File systems in which a path may come to mean something else tomorrow.
#pragma once

#include <string>

namespace kilter::io {

/// A file system may be one of these as well: `runs.kilter@main` is another commit after the next
/// save.
class LastingPaths {
 public:
  virtual ~LastingPaths() = default;
  /// The path under which the bytes that `path` leads to now will always be found; `path` itself
  /// if that is the one, or if it leads nowhere.
  virtual std::string lasting_path(const std::string& path) = 0;
};

}  // namespace kilter::io
