// Where an operation's output goes.
#pragma once

#include <string>

namespace kilter::ops {

/// `path` as a folder holds the files; for a single file, `stem` and `extension` name
/// it.
struct Place {
  bool is_folder = false;
  std::string parent;  ///< of the output
  std::string path;    ///< the output itself
  std::string stem = "model";
  std::string extension;
};

/// `path` as a user wrote it: a folder where `wants_folder`, where it ends with "/", or where its
/// name has no extension.
Place place_of(std::string path, bool wants_folder);

}  // namespace kilter::ops
