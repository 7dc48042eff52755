#include "io/fault_file_system.h"

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <utility>

#include "base/checked.h"
#include "base/try.h"
#include "io/os_error.h"

namespace kilter::io {
namespace {

/// Counts calls and says what happens to each; shared with the open files.
class Schedule {
 public:
  void fail_at(std::uint64_t call, Fault fault, bool sticky) {
    const std::lock_guard lock(mutex_);
    at_ = call;
    fault_ = fault;
    sticky_ = sticky;
  }
  std::uint64_t count() const {
    const std::lock_guard lock(mutex_);
    return count_;
  }
  Fault next() {
    const std::lock_guard lock(mutex_);
    const std::uint64_t call = count_++;
    return call == at_ || (sticky_ && call > at_) ? fault_ : Fault::kNone;
  }
  /// For calls that move no bytes, and so cannot be short.
  Status check(std::string_view action, const std::string& path) {
    switch (next()) {
      case Fault::kIoError:
        return fail(os_error(EIO, action, path));
      case Fault::kNoSpace:
        return fail(os_error(ENOSPC, action, path));
      case Fault::kNone:
      case Fault::kShortTransfer:
        break;
    }
    return ok();
  }

 private:
  mutable std::mutex mutex_;
  std::uint64_t count_ = 0;
  std::uint64_t at_ = ~std::uint64_t{0};
  Fault fault_ = Fault::kNone;
  bool sticky_ = false;
};
using SchedulePtr = std::shared_ptr<Schedule>;

/// Half of what is asked, but something: a sticky fault must end.
std::size_t short_bytes(std::size_t bytes) { return std::min(bytes, bytes / 2 + 1); }

class FaultReadFile : public ReadFile {
 public:
  FaultReadFile(SchedulePtr schedule, std::unique_ptr<ReadFile> inner)
      : schedule_(std::move(schedule)), inner_(std::move(inner)) {}
  const std::string& path() const override { return inner_->path(); }
  std::uint64_t bytes() const override { return inner_->bytes(); }
  Status read_at(std::uint64_t offset_bytes, std::span<std::byte> out) const override {
    while (true) {
      const Fault fault = schedule_->next();
      const int number = fault == Fault::kNoSpace ? ENOSPC : EIO;
      if (fault == Fault::kNoSpace || fault == Fault::kIoError)
        return fail(os_error(number, "read", path()).at_offset(offset_bytes));
      const bool whole = out.size() <= 1 || !range_fits(offset_bytes, out.size(), bytes());
      if (fault == Fault::kNone || whole) return inner_->read_at(offset_bytes, out);
      const std::size_t count = short_bytes(out.size());
      KILTER_TRY(inner_->read_at(offset_bytes, out.first(count)));
      offset_bytes += count;
      out = out.subspan(count);
    }
  }

 private:
  SchedulePtr schedule_;
  std::unique_ptr<ReadFile> inner_;
};

class FaultWriteFile : public WriteFile {
 public:
  FaultWriteFile(SchedulePtr schedule, std::unique_ptr<WriteFile> inner)
      : schedule_(std::move(schedule)), inner_(std::move(inner)) {}
  const std::string& path() const override { return inner_->path(); }
  Status write_at(std::uint64_t offset_bytes, Bytes bytes) override {
    while (true) {
      const Fault fault = schedule_->next();
      if (fault == Fault::kIoError)
        return fail(os_error(EIO, "write", path()).at_offset(offset_bytes));
      if (fault == Fault::kNoSpace) return fill_disk(offset_bytes, bytes);
      if (fault == Fault::kNone || bytes.size() <= 1) return inner_->write_at(offset_bytes, bytes);
      const std::size_t count = short_bytes(bytes.size());
      KILTER_TRY(inner_->write_at(offset_bytes, bytes.first(count)));
      offset_bytes += count;
      bytes = bytes.subspan(count);
    }
  }
  Status reserve(std::uint64_t total_bytes) override {
    KILTER_TRY(schedule_->check("reserve room", path()));
    return inner_->reserve(total_bytes);
  }
  Status truncate(std::uint64_t total_bytes) override {
    KILTER_TRY(schedule_->check("set the size", path()));
    return inner_->truncate(total_bytes);
  }
  Status sync() override {
    KILTER_TRY(schedule_->check("make durable", path()));
    return inner_->sync();
  }

 private:
  /// A disk takes what fits before it says that it is full.
  Status fill_disk(std::uint64_t offset_bytes, Bytes bytes) {
    const std::size_t fitting = bytes.size() / 2;
    KILTER_TRY(inner_->write_at(offset_bytes, bytes.first(fitting)));
    Error error = no_space_error("write", path(), bytes.size() - fitting, 0);
    return fail(std::move(error).at_offset(offset_bytes));
  }

  SchedulePtr schedule_;
  std::unique_ptr<WriteFile> inner_;
};

class FaultFiles : public FaultFileSystem {
 public:
  explicit FaultFiles(FileSystem& inner) : inner_(inner) {}

  void fail_at(std::uint64_t call, Fault fault, bool sticky) override {
    schedule_->fail_at(call, fault, sticky);
  }
  std::uint64_t call_count() const override { return schedule_->count(); }

  Result<std::unique_ptr<ReadFile>> open_read(const std::string& path) override {
    KILTER_TRY(schedule_->check("open", path));
    return wrap(inner_.open_read(path));
  }
  Result<std::unique_ptr<ReadFile>> open_read_beneath(const std::string& root,
                                                      const std::string& name) override {
    KILTER_TRY(schedule_->check("open", join_path(root, name)));
    return wrap(inner_.open_read_beneath(root, name));
  }
  Result<std::unique_ptr<WriteFile>> create(const std::string& path) override {
    KILTER_TRY(schedule_->check("create", path));
    KILTER_ASSIGN(auto file, inner_.create(path));
    return std::make_unique<FaultWriteFile>(schedule_, std::move(file));
  }
  Result<std::unique_ptr<WriteFile>> open_write(const std::string& path) override {
    KILTER_TRY(schedule_->check("open for writing", path));
    KILTER_ASSIGN(auto file, inner_.open_write(path));
    return std::make_unique<FaultWriteFile>(schedule_, std::move(file));
  }
  Result<FileStat> stat(const std::string& path, bool follow_symlinks) override {
    KILTER_TRY(schedule_->check("look up", path));
    return inner_.stat(path, follow_symlinks);
  }
  Result<std::vector<FolderEntry>> list(const std::string& path) override {
    KILTER_TRY(schedule_->check("list the folder", path));
    return inner_.list(path);
  }
  Status make_folder(const std::string& path) override {
    KILTER_TRY(schedule_->check("make the folder", path));
    return inner_.make_folder(path);
  }
  Status remove(const std::string& path) override {
    KILTER_TRY(schedule_->check("remove", path));
    return inner_.remove(path);
  }
  Status rename(const std::string& from, const std::string& to, Replace replace) override {
    KILTER_TRY(schedule_->check("rename to \"" + to + "\"", from));
    return inner_.rename(from, to, replace);
  }
  Status exchange(const std::string& a, const std::string& b) override {
    KILTER_TRY(schedule_->check("swap with \"" + b + "\"", a));
    return inner_.exchange(a, b);
  }
  Result<std::unique_ptr<FileLock>> lock(const std::string& path, LockMode mode,
                                         bool wait) override {
    KILTER_TRY(schedule_->check("lock", path));
    return inner_.lock(path, mode, wait);
  }
  Status sync_folder(const std::string& path) override {
    KILTER_TRY(schedule_->check("make the folder durable", path));
    return inner_.sync_folder(path);
  }
  Result<std::uint64_t> free_bytes(const std::string& path) override {
    KILTER_TRY(schedule_->check("ask for free space", path));
    return inner_.free_bytes(path);
  }

 private:
  Result<std::unique_ptr<ReadFile>> wrap(Result<std::unique_ptr<ReadFile>> file) {
    if (!file) return file;
    return std::make_unique<FaultReadFile>(schedule_, std::move(*file));
  }

  FileSystem& inner_;
  SchedulePtr schedule_ = std::make_shared<Schedule>();
};

}  // namespace

std::unique_ptr<FaultFileSystem> make_fault_file_system(FileSystem& inner) {
  return std::make_unique<FaultFiles>(inner);
}

}  // namespace kilter::io
