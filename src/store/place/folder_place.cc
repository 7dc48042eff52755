// A store in a folder.
#include <algorithm>
#include <chrono>
#include <mutex>
#include <random>
#include <set>

#include "base/try.h"
#include "io/file_tree.h"
#include "store/place/place.h"

namespace kilter::store {
namespace {

constexpr std::string_view kStagePrefix = ".stage-";
constexpr std::string_view kStageSuffix = ".tmp";

std::string stage_name() { return std::string(kStagePrefix) + random_hex(16) + ".tmp"; }

bool is_stage_name(std::string_view name) {
  return name.starts_with(kStagePrefix) && name.ends_with(kStageSuffix);
}

std::int64_t now_unix_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// What every object of a folder place needs to know.
class Folder {
 public:
  Folder(io::FileSystem& files, std::string root) : files_(files), root_(std::move(root)) {}
  io::FileSystem& files() const { return files_; }
  const std::string& root() const { return root_; }
  std::string path(std::string_view name) const { return io::join_path(root_, name); }

  /// Makes the folders above `name` and makes them durable, once each.
  Status make_parents(const std::string& name) {
    const std::string parent = io::parent_path(name);
    if (parent.empty()) return ok();
    const std::lock_guard guard(mutex_);
    return make(parent);
  }

 private:
  Status make(const std::string& folder) {
    if (made_.contains(folder)) return ok();
    const std::string above = io::parent_path(folder);
    if (!above.empty()) KILTER_TRY(make(above));
    const Status made = files_.make_folder(path(folder));
    if (!made && made.error().code != ErrorCode::kAlreadyExists) return made;
    // Also when it was there: who made it may have died before this.
    KILTER_TRY(files_.sync_folder(path(above)));
    made_.insert(folder);
    return ok();
  }

  io::FileSystem& files_;
  std::string root_;
  std::mutex mutex_;
  std::set<std::string> made_;
};
using FolderPtr = std::shared_ptr<Folder>;

class StagedFile : public StagedObject {
 public:
  StagedFile(FolderPtr folder, std::string path, std::unique_ptr<io::WriteFile> file)
      : folder_(std::move(folder)), path_(std::move(path)), file_(std::move(file)) {}
  ~StagedFile() override {
    file_.reset();
    if (!path_.empty()) static_cast<void>(folder_->files().remove(path_));
  }
  io::WriteFile& file() override { return *file_; }

  Status publish(const std::string& name) override {
    KILTER_TRY(file_->sync());
    file_.reset();
    KILTER_TRY(folder_->make_parents(name));
    const std::string target = folder_->path(name);
    const Status renamed = folder_->files().rename(path_, target, io::Replace::kRefuse);
    if (!renamed && renamed.error().code != ErrorCode::kAlreadyExists) return renamed;
    if (renamed) path_.clear();
    return folder_->files().sync_folder(io::parent_path(target));
  }

 private:
  FolderPtr folder_;
  std::string path_;  // empty once published
  std::unique_ptr<io::WriteFile> file_;
};

class FolderLock : public PlaceLock {
 public:
  explicit FolderLock(std::unique_ptr<io::FileLock> lock) : lock_(std::move(lock)) {}

 private:
  std::unique_ptr<io::FileLock> lock_;
};

/// Alive as long as its file is locked: the system lets go when the process dies.
class FolderSession : public PlaceSession {
 public:
  FolderSession(FolderPtr folder, std::string id, std::unique_ptr<io::FileLock> lock)
      : folder_(std::move(folder)), id_(std::move(id)), lock_(std::move(lock)) {}
  ~FolderSession() override {
    static_cast<void>(folder_->files().remove(folder_->path("sessions/" + id_)));
  }
  const std::string& id() const override { return id_; }
  Status still_alive() override { return ok(); }

 private:
  FolderPtr folder_;
  std::string id_;
  std::unique_ptr<io::FileLock> lock_;
};

class FolderPlace : public Place {
 public:
  FolderPlace(io::FileSystem& files, std::string root)
      : folder_(std::make_shared<Folder>(files, std::move(root))) {}

  std::string address() const override { return folder_->root(); }
  Status make_root() override;
  Result<std::vector<PlaceEntry>> list(const std::string& folder) override;
  Result<std::unique_ptr<io::ReadFile>> open(const std::string& name) override {
    return files().open_read(folder_->path(name));
  }
  Result<std::unique_ptr<StagedObject>> stage() override;
  Status remove(const std::string& name) override;
  Status set_aside(const std::string& name) override;
  Result<std::optional<std::string>> read_small(const std::string& name) override;
  Result<bool> replace_small(const std::string& name, const std::optional<std::string>& text,
                             const std::optional<std::string>& expected) override;
  Result<std::unique_ptr<PlaceSession>> begin_session() override;
  Result<std::vector<std::string>> live_sessions() override;
  Result<std::unique_ptr<PlaceLock>> lock(const std::string& name, bool wait) override;
  Result<std::uint64_t> sweep(std::int64_t age_ns, bool dry_run) override;

 private:
  io::FileSystem& files() { return folder_->files(); }
  Status list_into(const std::string& folder, std::vector<PlaceEntry>& out);
  Status write_small(const std::string& name, const std::string& text);
  FolderPtr folder_;
};

Status FolderPlace::make_root() {
  Status made = files().make_folder(folder_->root());
  if (!made && made.error().code != ErrorCode::kAlreadyExists) return made;
  return files().sync_folder(io::parent_path(folder_->root()));
}

Status FolderPlace::list_into(const std::string& folder, std::vector<PlaceEntry>& out) {
  auto entries = files().list(folder_->path(folder));
  if (!entries && entries.error().code == ErrorCode::kNotFound) return ok();
  if (!entries) return fail(std::move(entries).error());
  for (const io::FolderEntry& entry : *entries) {
    if (entry.name.starts_with('.')) continue;
    const std::string name = io::join_path(folder, entry.name);
    if (entry.stat.kind == io::FileKind::kFolder) {
      KILTER_TRY(list_into(name, out));
    } else if (entry.stat.kind == io::FileKind::kFile) {
      out.push_back({name, entry.stat.bytes, entry.stat.modified_unix_ns});
    }
  }
  return ok();
}

Result<std::vector<PlaceEntry>> FolderPlace::list(const std::string& folder) {
  std::vector<PlaceEntry> out;
  KILTER_TRY(list_into(folder, out));
  std::ranges::sort(out, {}, &PlaceEntry::name);
  return out;
}

Result<std::unique_ptr<StagedObject>> FolderPlace::stage() {
  std::string path = folder_->path(stage_name());
  KILTER_ASSIGN(auto file, files().create(path));
  return std::make_unique<StagedFile>(folder_, std::move(path), std::move(file));
}

Status FolderPlace::remove(const std::string& name) {
  Status removed = files().remove(folder_->path(name));
  if (!removed && removed.error().code == ErrorCode::kNotFound) return ok();
  KILTER_TRY(std::move(removed));
  return files().sync_folder(folder_->path(io::parent_path(name)));
}

Status FolderPlace::set_aside(const std::string& name) {
  const std::string target = "aside/" + name;
  KILTER_TRY(folder_->make_parents(target));
  KILTER_TRY(files().rename(folder_->path(name), folder_->path(target), io::Replace::kAllow));
  KILTER_TRY(files().sync_folder(io::parent_path(folder_->path(target))));
  return files().sync_folder(io::parent_path(folder_->path(name)));
}

Result<std::optional<std::string>> FolderPlace::read_small(const std::string& name) {
  auto text = io::read_text(files(), folder_->path(name), kSmallTextMax);
  if (text) return std::optional<std::string>(std::move(*text));
  if (text.error().code == ErrorCode::kNotFound) return std::optional<std::string>();
  return fail(std::move(text).error());
}

Status FolderPlace::write_small(const std::string& name, const std::string& text) {
  KILTER_ASSIGN(const auto staged, stage());
  KILTER_TRY(staged->file().write_at(0, as_bytes(text)));
  KILTER_TRY(staged->file().sync());
  // publish() keeps what is there; this replaces it.
  const std::string target = folder_->path(name);
  KILTER_TRY(files().rename(staged->file().path(), target, io::Replace::kAllow));
  return files().sync_folder(io::parent_path(target));
}

Result<bool> FolderPlace::replace_small(const std::string& name,
                                        const std::optional<std::string>& text,
                                        const std::optional<std::string>& expected) {
  KILTER_TRY(folder_->make_parents(name));
  KILTER_TRY(folder_->make_parents("refs/.lock"));
  KILTER_ASSIGN(const auto held,
                files().lock(folder_->path("refs/.lock"), io::LockMode::kExclusive, true));
  KILTER_ASSIGN(const auto now, read_small(name));
  if (now != expected) return false;
  if (text) {
    KILTER_TRY(write_small(name, *text));
  } else {
    KILTER_TRY(remove(name));
  }
  return true;
}

Result<std::unique_ptr<PlaceSession>> FolderPlace::begin_session() {
  KILTER_TRY(folder_->make_parents("sessions/x"));
  while (true) {
    std::string id = random_hex(16);
    const std::string path = folder_->path("sessions/" + id);
    KILTER_ASSIGN(auto lock, files().lock(path, io::LockMode::kExclusive, false));
    // A collector may have looked between making and locking it: then it is gone, try again.
    if (lock == nullptr || !files().stat(path)) continue;
    return std::make_unique<FolderSession>(folder_, std::move(id), std::move(lock));
  }
}

Result<std::vector<std::string>> FolderPlace::live_sessions() {
  KILTER_ASSIGN(const auto entries, list("sessions"));
  std::vector<std::string> alive;
  for (const PlaceEntry& entry : entries) {
    const std::string path = folder_->path(entry.name);
    if (!files().stat(path)) continue;
    KILTER_ASSIGN(const auto lock, files().lock(path, io::LockMode::kExclusive, false));
    if (lock == nullptr) {
      alive.push_back(io::last_part(entry.name));
    } else {
      static_cast<void>(files().remove(path));
    }
  }
  return alive;
}

Result<std::unique_ptr<PlaceLock>> FolderPlace::lock(const std::string& name, bool wait) {
  KILTER_TRY(folder_->make_parents("locks/x"));
  KILTER_ASSIGN(auto held,
                files().lock(folder_->path("locks/" + name), io::LockMode::kExclusive, wait));
  if (held == nullptr) return std::unique_ptr<PlaceLock>();
  return std::make_unique<FolderLock>(std::move(held));
}

Result<std::uint64_t> FolderPlace::sweep(std::int64_t age_ns, bool dry_run) {
  KILTER_ASSIGN(const auto entries, files().list(folder_->root()));
  std::uint64_t count = 0;
  for (const io::FolderEntry& entry : entries) {
    if (!is_stage_name(entry.name) || entry.stat.kind != io::FileKind::kFile) continue;
    // Without a time nobody can say that its writer has died.
    const std::int64_t modified = entry.stat.modified_unix_ns;
    if (modified == 0 || now_unix_ns() - modified < age_ns) continue;
    ++count;
    if (!dry_run) KILTER_TRY(files().remove(folder_->path(entry.name)));
  }
  return count;
}

}  // namespace

std::string random_hex(std::size_t digits) {
  static thread_local std::random_device device;
  std::string text;
  while (text.size() < digits) {
    const unsigned value = device();
    for (unsigned i = 0; i < 8 && text.size() < digits; ++i)
      text += "0123456789abcdef"[value >> (4 * i) & 15U];
  }
  return text;
}

Status Place::put(const std::string& name, Bytes bytes) {
  KILTER_ASSIGN(const auto staged, stage());
  KILTER_TRY(staged->file().write_at(0, bytes));
  return staged->publish(name);
}

std::unique_ptr<Place> make_folder_place(io::FileSystem& files, std::string root) {
  return std::make_unique<FolderPlace>(files, std::move(root));
}

}  // namespace kilter::store
