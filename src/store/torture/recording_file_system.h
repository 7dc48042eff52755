// Writes down every change that passes through it, in order, so that any prefix of them can be done
// again on another file system: what a disk may hold when the power goes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/file_system.h"

namespace kilter::store {

enum class WriteKind : std::uint8_t {
  kCreate,
  kWrite,
  kReserve,
  kTruncate,
  kSync,
  kMakeFolder,
  kRemove,
  kRename,
  kSyncFolder,
  kLock,  ///< makes the file that is locked; who holds a lock is lost with the power
};

/// One change that succeeded.
struct RecordedWrite {
  WriteKind kind = WriteKind::kCreate;
  std::string path;          ///< of a file as it was created; renaming does not change it
  std::string target;        ///< of a rename
  std::uint64_t file = 0;    ///< which of the created files, for those that go to one
  std::uint64_t amount = 0;  ///< offset of a write, size of the other two; in bytes
  std::string bytes;         ///< of a write
  io::Replace replace = io::Replace::kRefuse;

  std::string text() const;  ///< "rename .stage-… to packs/…"
};

class RecordingFileSystem : public io::FileSystem {
 public:
  virtual std::vector<RecordedWrite> writes() const = 0;
};
/// `inner` must outlive it. Exchanging names and symlinks are not supported.
std::unique_ptr<RecordingFileSystem> make_recording_file_system(io::FileSystem& inner);

/// Does writes again, one after the other, on one file system.
class WriteReplay {
 public:
  explicit WriteReplay(io::FileSystem& files) : files_(files) {}
  Status apply(const RecordedWrite& write);
  /// The first half of a write's bytes alone.
  Status apply_torn(const RecordedWrite& write);

 private:
  io::FileSystem& files_;
  std::vector<std::unique_ptr<io::WriteFile>> open_;
};

}  // namespace kilter::store
