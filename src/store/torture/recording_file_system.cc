#include "store/torture/recording_file_system.h"

#include <fmt/format.h>

#include <mutex>

#include "base/text.h"
#include "base/try.h"

namespace kilter::store {
namespace {

/// The list, and the lock that keeps its order that of the changes themselves.
struct Recording {
  std::mutex mutex;
  std::vector<RecordedWrite> writes;
  std::uint64_t file_count = 0;
};
using RecordingPtr = std::shared_ptr<Recording>;

class RecordingWriteFile : public io::WriteFile {
 public:
  RecordingWriteFile(RecordingPtr recording, std::uint64_t number,
                     std::unique_ptr<io::WriteFile> inner)
      : recording_(std::move(recording)), number_(number), inner_(std::move(inner)) {}
  const std::string& path() const override { return inner_->path(); }
  Status write_at(std::uint64_t offset_bytes, Bytes bytes) override {
    const std::lock_guard guard(recording_->mutex);
    KILTER_TRY(inner_->write_at(offset_bytes, bytes));
    note(WriteKind::kWrite, offset_bytes, std::string(as_text(bytes)));
    return ok();
  }
  Status reserve(std::uint64_t total_bytes) override {
    const std::lock_guard guard(recording_->mutex);
    KILTER_TRY(inner_->reserve(total_bytes));
    note(WriteKind::kReserve, total_bytes);
    return ok();
  }
  Status truncate(std::uint64_t total_bytes) override {
    const std::lock_guard guard(recording_->mutex);
    KILTER_TRY(inner_->truncate(total_bytes));
    note(WriteKind::kTruncate, total_bytes);
    return ok();
  }
  Status sync() override {
    const std::lock_guard guard(recording_->mutex);
    KILTER_TRY(inner_->sync());
    note(WriteKind::kSync, 0);
    return ok();
  }

 private:
  void note(WriteKind kind, std::uint64_t amount, std::string bytes = {}) {
    RecordedWrite write;
    write.kind = kind;
    write.path = path();
    write.file = number_;
    write.amount = amount;
    write.bytes = std::move(bytes);
    recording_->writes.push_back(std::move(write));
  }

  RecordingPtr recording_;
  std::uint64_t number_;
  std::unique_ptr<io::WriteFile> inner_;
};

class RecordingFiles : public RecordingFileSystem {
 public:
  explicit RecordingFiles(io::FileSystem& inner) : inner_(inner) {}

  std::vector<RecordedWrite> writes() const override {
    const std::lock_guard guard(recording_->mutex);
    return recording_->writes;
  }
  Result<std::unique_ptr<io::ReadFile>> open_read(const std::string& path) override {
    return inner_.open_read(path);
  }
  Result<std::unique_ptr<io::WriteFile>> create(const std::string& path) override {
    const std::lock_guard guard(recording_->mutex);
    KILTER_ASSIGN(auto file, inner_.create(path));
    note(WriteKind::kCreate, path);
    return std::make_unique<RecordingWriteFile>(recording_, recording_->file_count++,
                                                std::move(file));
  }
  Result<io::FileStat> stat(const std::string& path, bool follow_symlinks) override {
    return inner_.stat(path, follow_symlinks);
  }
  Result<std::vector<io::FolderEntry>> list(const std::string& path) override {
    return inner_.list(path);
  }
  Status make_folder(const std::string& path) override {
    const std::lock_guard guard(recording_->mutex);
    KILTER_TRY(inner_.make_folder(path));
    return note(WriteKind::kMakeFolder, path);
  }
  Status remove(const std::string& path) override {
    const std::lock_guard guard(recording_->mutex);
    KILTER_TRY(inner_.remove(path));
    return note(WriteKind::kRemove, path);
  }
  Status rename(const std::string& from, const std::string& to, io::Replace replace) override {
    const std::lock_guard guard(recording_->mutex);
    KILTER_TRY(inner_.rename(from, to, replace));
    return note(WriteKind::kRename, from, to, replace);
  }
  Status sync_folder(const std::string& path) override {
    const std::lock_guard guard(recording_->mutex);
    KILTER_TRY(inner_.sync_folder(path));
    return note(WriteKind::kSyncFolder, path);
  }
  Result<std::uint64_t> free_bytes(const std::string& path) override {
    return inner_.free_bytes(path);
  }
  Result<std::unique_ptr<io::FileLock>> lock(const std::string& path, io::LockMode mode,
                                             bool wait) override {
    // Not under the recording's lock: whoever holds `path` may have to write before it lets go.
    KILTER_ASSIGN(auto held, inner_.lock(path, mode, wait));
    const std::lock_guard guard(recording_->mutex);
    if (held != nullptr) KILTER_TRY(note(WriteKind::kLock, path));
    return held;
  }

 private:
  /// The caller holds the lock.
  Status note(WriteKind kind, const std::string& path, const std::string& target = {},
              io::Replace replace = io::Replace::kRefuse) {
    RecordedWrite write;
    write.kind = kind;
    write.path = path;
    write.target = target;
    write.replace = replace;
    recording_->writes.push_back(std::move(write));
    return ok();
  }

  io::FileSystem& inner_;
  RecordingPtr recording_ = std::make_shared<Recording>();
};

}  // namespace

std::unique_ptr<RecordingFileSystem> make_recording_file_system(io::FileSystem& inner) {
  return std::make_unique<RecordingFiles>(inner);
}

std::string RecordedWrite::text() const {
  const std::string name = escape_text(path, 120);
  switch (kind) {
    case WriteKind::kCreate:
      return "create " + name;
    case WriteKind::kWrite:
      return fmt::format("write [{}, {}) of {}", amount, amount + bytes.size(), name);
    case WriteKind::kReserve:
      return fmt::format("reserve {} bytes of {}", amount, name);
    case WriteKind::kTruncate:
      return fmt::format("set the size of {} to {}", name, amount);
    case WriteKind::kSync:
      return "sync " + name;
    case WriteKind::kMakeFolder:
      return "make the folder " + name;
    case WriteKind::kRemove:
      return "remove " + name;
    case WriteKind::kRename:
      return fmt::format("rename {} to {}", name, escape_text(target, 120));
    case WriteKind::kSyncFolder:
      return "sync the folder " + name;
    case WriteKind::kLock:
      return "lock " + name;
  }
  return name;
}

Status WriteReplay::apply(const RecordedWrite& write) {
  switch (write.kind) {
    case WriteKind::kCreate: {
      KILTER_ASSIGN(auto file, files_.create(write.path));
      open_.push_back(std::move(file));
      return ok();
    }
    case WriteKind::kWrite:
      return open_.at(write.file)->write_at(write.amount, as_bytes(write.bytes));
    case WriteKind::kReserve:
      return open_.at(write.file)->reserve(write.amount);
    case WriteKind::kTruncate:
      return open_.at(write.file)->truncate(write.amount);
    case WriteKind::kSync:
      return open_.at(write.file)->sync();
    case WriteKind::kMakeFolder:
      return files_.make_folder(write.path);
    case WriteKind::kRemove:
      return files_.remove(write.path);
    case WriteKind::kRename:
      return files_.rename(write.path, write.target, write.replace);
    case WriteKind::kSyncFolder:
      return files_.sync_folder(write.path);
    case WriteKind::kLock:
      return files_.lock(write.path, io::LockMode::kExclusive, false).map([](const auto&) {});
  }
  return fail(ErrorCode::kInternal, "a recorded write of no kind");
}

Status WriteReplay::apply_torn(const RecordedWrite& write) {
  RecordedWrite half = write;
  half.bytes.resize(write.bytes.size() / 2);
  return apply(half);
}

}  // namespace kilter::store
