// Outputs appear whole, by rename, or not at all.
#pragma once

#include <memory>
#include <string>

#include "io/file_system.h"

namespace kilter::io {

/// Collects the files of one output under a temporary name beside the target
/// (".NAME.kilter-PID-RANDOM.tmp"), then makes them appear. Destruction without commit() removes
/// what was written.
///
/// With Unfinished::kKeep the temporary name is always the same (partial_path()), what was left
/// under it is gone on with, and destruction without commit() leaves it for the next time.
///
/// Two shapes: a folder (every file inside it appears by one rename), or single files in one
/// existing folder (each renamed in the order added, the main file last; the ones before it are
/// durable first).
///
/// With Replace::kAllow an old output is swapped out atomically and removed once the new one is
/// durable: a file takes a file's place, a folder a folder's, never one the other's. Where the
/// file system cannot swap, it is replaced by FileSystem::rename(), and an error of the last
/// folder sync comes too late to bring it back.
enum class Unfinished : std::uint8_t { kRemove, kKeep };

/// ".NAME.kilter-partial" beside `target`.
std::string partial_path(const std::string& target);

class Publication {
 public:
  /// Target folder `path`; `create` refuses at once if it exists and `replace` is kRefuse.
  static Result<std::unique_ptr<Publication>> folder(FileSystem& files, const std::string& path,
                                                     Replace replace,
                                                     Unfinished unfinished = Unfinished::kRemove);
  /// Target files beside each other in `parent` ("" = current folder).
  static Result<std::unique_ptr<Publication>> beside(FileSystem& files, const std::string& parent,
                                                     Replace replace,
                                                     Unfinished unfinished = Unfinished::kRemove);
  virtual ~Publication() = default;
  /// Creates one file of the output; `name` is relative, checked, and may have parts (folders are
  /// made as needed). The pointer stays owned by the publication and is valid until commit().
  /// Errors: kUnsafe for the name; kAlreadyExists; kInvalidArgument where a folder has the name.
  virtual Result<WriteFile*> add(const std::string& name) = 0;
  /// Syncs every file, renames, syncs the folder. After an error nothing of the new output stays
  /// and the old state is as before. Call it once.
  virtual Status commit() = 0;
};

}  // namespace kilter::io
