// Outputs appear whole, by rename, or not at all.
#pragma once

#include <memory>
#include <string>

#include "io/file_system.h"

namespace kilter::io {

/// Collects the files of one output under a temporary name beside the target, then makes them
/// appear. Destruction without commit() removes what was written.
///
/// Two shapes: a folder (every file inside it appears by one rename), or single files in one
/// existing folder (each renamed in the order added, the main file last).
class Publication {
 public:
  /// Target folder `path`; `create` refuses at once if it exists and `replace` is kRefuse.
  static Result<std::unique_ptr<Publication>> folder(FileSystem& files, const std::string& path,
                                                     Replace replace);
  /// Target files beside each other in `parent` ("" = current folder).
  static Result<std::unique_ptr<Publication>> beside(FileSystem& files, const std::string& parent,
                                                     Replace replace);
  virtual ~Publication() = default;
  /// Creates one file of the output; `name` is relative, checked, and may have parts (folders are
  /// made as needed). The pointer stays owned by the publication.
  virtual Result<WriteFile*> add(const std::string& name) = 0;
  /// Syncs every file, renames, syncs the folder. After an error nothing of the new output stays
  /// and the old state is as before.
  virtual Status commit() = 0;
};

}  // namespace kilter::io
