#include "io/memory_file_system.h"

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <random>
#include <set>

#include "base/checked.h"
#include "base/try.h"
#include "io/memory_node.h"
#include "io/os_error.h"

namespace kilter::io {
namespace {

/// The one lock and the room left, shared with the open files.
struct Disk {
  std::mutex mutex;
  std::condition_variable unlocked;
  std::uint64_t free_bytes = std::uint64_t{1} << 62;
};
using DiskPtr = std::shared_ptr<Disk>;

class MemoryFileLock : public FileLock {
 public:
  /// The caller holds the disk's mutex.
  MemoryFileLock(DiskPtr disk, MemoryNodePtr node, LockMode mode)
      : disk_(std::move(disk)), node_(std::move(node)), mode_(mode) {
    if (mode_ == LockMode::kShared) ++node_->shared_locks;
    if (mode_ == LockMode::kExclusive) node_->exclusive_lock = true;
  }
  ~MemoryFileLock() override {
    const std::lock_guard lock(disk_->mutex);
    if (mode_ == LockMode::kShared) --node_->shared_locks;
    if (mode_ == LockMode::kExclusive) node_->exclusive_lock = false;
    disk_->unlocked.notify_all();
  }

 private:
  DiskPtr disk_;
  MemoryNodePtr node_;
  LockMode mode_;
};

class MemoryReadFile : public ReadFile {
 public:
  MemoryReadFile(DiskPtr disk, MemoryNodePtr node, std::string path)
      : disk_(std::move(disk)),
        node_(std::move(node)),
        path_(std::move(path)),
        bytes_(node_->content.size()) {}
  const std::string& path() const override { return path_; }
  std::uint64_t bytes() const override { return bytes_; }
  Status read_at(std::uint64_t offset_bytes, std::span<std::byte> out) const override {
    if (!range_fits(offset_bytes, out.size(), bytes_))
      return fail(out_of_range(path_, offset_bytes, out.size(), bytes_));
    const std::lock_guard lock(disk_->mutex);
    if (!range_fits(offset_bytes, out.size(), node_->content.size()))
      return fail(became_shorter(path_, offset_bytes));
    if (!out.empty()) std::memcpy(out.data(), node_->content.data() + offset_bytes, out.size());
    return ok();
  }

 private:
  DiskPtr disk_;
  MemoryNodePtr node_;
  std::string path_;
  std::uint64_t bytes_;
};

class MemoryWriteFile : public WriteFile {
 public:
  MemoryWriteFile(DiskPtr disk, MemoryNodePtr node, std::string path)
      : disk_(std::move(disk)), node_(std::move(node)), path_(std::move(path)) {}
  const std::string& path() const override { return path_; }
  Status write_at(std::uint64_t offset_bytes, Bytes bytes) override {
    const auto end = checked_add<std::uint64_t>(offset_bytes, bytes.size());
    if (!end) return fail(os_error(EFBIG, "write", path_).at_offset(offset_bytes));
    if (bytes.empty()) return ok();
    const std::lock_guard lock(disk_->mutex);
    KILTER_TRY(grow(*end, "write"));
    std::memcpy(node_->content.data() + offset_bytes, bytes.data(), bytes.size());
    return ok();
  }
  Status reserve(std::uint64_t total_bytes) override {
    const std::lock_guard lock(disk_->mutex);
    return grow(total_bytes, "reserve room");
  }
  Status truncate(std::uint64_t total_bytes) override {
    const std::lock_guard lock(disk_->mutex);
    KILTER_TRY(grow(total_bytes, "set the size"));
    disk_->free_bytes += node_->content.size() - total_bytes;
    node_->content.resize(total_bytes);
    return ok();
  }
  Status sync() override {
    const std::lock_guard lock(disk_->mutex);
    node_->durable_content = node_->content;
    return ok();
  }

 private:
  Status grow(std::uint64_t total_bytes, std::string_view action) {
    const std::uint64_t present = node_->content.size();
    if (total_bytes <= present) return ok();
    const std::uint64_t more = total_bytes - present;
    if (more > disk_->free_bytes)
      return fail(no_space_error(action, path_, more, disk_->free_bytes));
    disk_->free_bytes -= more;
    node_->content.resize(total_bytes);
    return ok();
  }

  DiskPtr disk_;
  MemoryNodePtr node_;
  std::string path_;
};

FileStat to_stat(const MemoryNode& node) {
  const std::uint64_t bytes = node.kind == FileKind::kFolder ? 0 : node.content.size();
  return {node.kind, bytes, bytes};
}

class MemoryFiles : public MemoryFileSystem {
 public:
  Result<std::unique_ptr<ReadFile>> open_read(const std::string& path) override;
  Result<std::unique_ptr<WriteFile>> create(const std::string& path) override;
  Result<std::unique_ptr<WriteFile>> open_write(const std::string& path) override;
  Result<FileStat> stat(const std::string& path, bool follow_symlinks) override;
  Result<std::vector<FolderEntry>> list(const std::string& path) override;
  Status make_folder(const std::string& path) override;
  Status remove(const std::string& path) override;
  Status rename(const std::string& from, const std::string& to, Replace replace) override;
  Status sync_folder(const std::string& path) override;
  Result<std::uint64_t> free_bytes(const std::string& path) override;
  Result<std::unique_ptr<FileLock>> lock(const std::string& path, LockMode mode,
                                         bool wait) override;
  Status exchange(const std::string& a, const std::string& b) override;
  Result<std::unique_ptr<ReadFile>> open_read_beneath(const std::string& root,
                                                      const std::string& name) override;
  void lose_power() override;
  void lose_power_partly(std::uint64_t seed) override;
  void set_free_bytes(std::uint64_t bytes) override;
  void put(const std::string& path, std::string_view content) override;
  void put_symlink(const std::string& path, const std::string& target) override;

 private:
  MemorySpot find(const std::string& path, bool follow = true) const {
    return find_memory_node(root_, root_, path, {follow, false});
  }
  Result<MemoryNodePtr> find_folder(const std::string& path, std::string_view action) const;
  Result<std::unique_ptr<ReadFile>> open_spot(const MemorySpot& spot, const std::string& path);
  Status place(const std::string& path, const MemoryNodePtr& node, std::string_view action);
  void put_node(const std::string& path, const MemoryNodePtr& node);
  void release(const MemoryNode& node);
  template <typename Keep>
  void restart(Keep keep);

  DiskPtr disk_ = std::make_shared<Disk>();
  MemoryNodePtr root_ = std::make_shared<MemoryNode>(MemoryNode{FileKind::kFolder, {}, {}, {}, {}});
};

Result<MemoryNodePtr> MemoryFiles::find_folder(const std::string& path,
                                               std::string_view action) const {
  const MemorySpot spot = find(path);
  if (spot.node == nullptr) return fail(os_error(spot.error_number, action, path));
  if (spot.node->kind != FileKind::kFolder) return fail(os_error(ENOTDIR, action, path));
  return spot.node;
}

Result<std::unique_ptr<ReadFile>> MemoryFiles::open_spot(const MemorySpot& spot,
                                                         const std::string& path) {
  if (spot.node == nullptr) return fail(os_error(spot.error_number, "open", path));
  if (spot.node->kind == FileKind::kFolder) return fail(os_error(EISDIR, "open", path));
  return std::make_unique<MemoryReadFile>(disk_, spot.node, path);
}

Result<std::unique_ptr<ReadFile>> MemoryFiles::open_read(const std::string& path) {
  const std::lock_guard lock(disk_->mutex);
  if (path.empty()) return fail(os_error(ENOENT, "open", path));
  return open_spot(find(path), path);
}

Result<std::unique_ptr<ReadFile>> MemoryFiles::open_read_beneath(const std::string& root,
                                                                 const std::string& name) {
  const std::lock_guard lock(disk_->mutex);
  KILTER_ASSIGN(const MemoryNodePtr folder, find_folder(root, "open the folder"));
  const MemorySpot spot = find_memory_node(folder, root_, name, {true, true});
  const std::string path = join_path(root, name);
  if (spot.error_number != EXDEV && spot.error_number != ELOOP) return open_spot(spot, path);
  Error error(ErrorCode::kUnsafe, "the name leads out of its folder through a symlink");
  return fail(std::move(error).at_path(path));
}

/// Puts a node at a name that must be free.
Status MemoryFiles::place(const std::string& path, const MemoryNodePtr& node,
                          std::string_view action) {
  const MemorySpot spot = find(path, false);
  if (spot.node != nullptr) return fail(os_error(EEXIST, action, path));
  if (spot.folder == nullptr) return fail(os_error(spot.error_number, action, path));
  spot.folder->entries.emplace(spot.name, node);
  return ok();
}

Result<std::unique_ptr<WriteFile>> MemoryFiles::create(const std::string& path) {
  const std::lock_guard lock(disk_->mutex);
  const auto node = std::make_shared<MemoryNode>();
  KILTER_TRY(place(path, node, "create"));
  return std::make_unique<MemoryWriteFile>(disk_, node, path);
}

Result<std::unique_ptr<WriteFile>> MemoryFiles::open_write(const std::string& path) {
  const std::lock_guard lock(disk_->mutex);
  const MemorySpot spot = find(path, false);
  if (spot.node == nullptr) return fail(os_error(spot.error_number, "open for writing", path));
  if (spot.node->kind != FileKind::kFile)
    return fail(Error(ErrorCode::kInvalidArgument, "not a regular file").at_path(path));
  return std::make_unique<MemoryWriteFile>(disk_, spot.node, path);
}

Status MemoryFiles::make_folder(const std::string& path) {
  const std::lock_guard lock(disk_->mutex);
  const auto node = std::make_shared<MemoryNode>();
  node->kind = FileKind::kFolder;
  return place(path, node, "make the folder");
}

Result<FileStat> MemoryFiles::stat(const std::string& path, bool follow_symlinks) {
  const std::lock_guard lock(disk_->mutex);
  const MemorySpot spot = find(path, follow_symlinks);
  if (spot.node == nullptr) return fail(os_error(spot.error_number, "look up", path));
  return to_stat(*spot.node);
}

Result<std::vector<FolderEntry>> MemoryFiles::list(const std::string& path) {
  const std::lock_guard lock(disk_->mutex);
  KILTER_ASSIGN(const MemoryNodePtr folder, find_folder(path, "list the folder"));
  std::vector<FolderEntry> entries;
  for (const auto& [name, node] : folder->entries) entries.push_back({name, to_stat(*node)});
  return entries;
}

/// Gives back the room of everything below `node`; nothing here has two names.
void MemoryFiles::release(const MemoryNode& node) {
  std::vector<const MemoryNode*> todo{&node};
  while (!todo.empty()) {
    const MemoryNode& next = *todo.back();
    todo.pop_back();
    if (next.kind == FileKind::kFile) disk_->free_bytes += next.content.size();
    for (const auto& [name, child] : next.entries) todo.push_back(child.get());
  }
}

Status MemoryFiles::remove(const std::string& path) {
  const std::lock_guard lock(disk_->mutex);
  const MemorySpot spot = find(path, false);
  if (spot.node == nullptr) return fail(os_error(spot.error_number, "remove", path));
  if (spot.folder == nullptr) return fail(os_error(EBUSY, "remove", path));
  if (!spot.node->entries.empty()) return fail(os_error(ENOTEMPTY, "remove", path));
  release(*spot.node);
  spot.folder->entries.erase(spot.name);
  return ok();
}

Status MemoryFiles::rename(const std::string& from, const std::string& to, Replace replace) {
  const std::lock_guard lock(disk_->mutex);
  const std::string action = "rename to \"" + to + "\"";
  const MemorySpot source = find(from, false);
  if (source.folder == nullptr || source.node == nullptr)
    return fail(os_error(source.error_number != 0 ? source.error_number : EBUSY, action, from));
  const MemorySpot target = find(to, false);
  if (target.folder == nullptr)
    return fail(os_error(target.error_number != 0 ? target.error_number : EBUSY, action, from));
  if (target.node != nullptr) {
    if (replace == Replace::kRefuse) return fail(os_error(EEXIST, action, from));
    const bool by_folder = source.node->kind == FileKind::kFolder;
    if (by_folder != (target.node->kind == FileKind::kFolder))
      return fail(os_error(by_folder ? ENOTDIR : EISDIR, action, from));
    if (target.node != source.node) release(*target.node);
  }
  source.folder->entries.erase(source.name);
  target.folder->entries[target.name] = source.node;
  if (target.node == nullptr || source.node->kind != FileKind::kFolder) return ok();
  // As the real one does: the swap is durable before the old folder goes.
  source.folder->durable_entries = source.folder->entries;
  target.folder->durable_entries = target.folder->entries;
  return ok();
}

Result<std::unique_ptr<FileLock>> MemoryFiles::lock(const std::string& path, LockMode mode,
                                                    bool wait) {
  std::unique_lock guard(disk_->mutex);
  while (true) {
    if (find(path).node == nullptr)
      KILTER_TRY(place(path, std::make_shared<MemoryNode>(), "open the lock"));
    const MemoryNodePtr node = find(path).node;
    const bool held = node->exclusive_lock || (mode == LockMode::kExclusive && node->shared_locks);
    if (!held) return std::make_unique<MemoryFileLock>(disk_, node, mode);
    if (!wait) return std::unique_ptr<FileLock>();
    disk_->unlocked.wait(guard);  // and look the name up again: the holder may have removed it
  }
}

Status MemoryFiles::exchange(const std::string& a, const std::string& b) {
  const std::lock_guard lock(disk_->mutex);
  const std::string action = "swap with \"" + b + "\"";
  const MemorySpot first = find(a, false);
  const MemorySpot second = find(b, false);
  for (const MemorySpot* spot : {&first, &second})
    if (spot->folder == nullptr || spot->node == nullptr)
      return fail(os_error(spot->error_number != 0 ? spot->error_number : EBUSY, action, a));
  first.folder->entries[first.name] = second.node;
  second.folder->entries[second.name] = first.node;
  return ok();
}

Status MemoryFiles::sync_folder(const std::string& path) {
  const std::lock_guard lock(disk_->mutex);
  KILTER_ASSIGN(const MemoryNodePtr folder, find_folder(path, "make the folder durable"));
  folder->durable_entries = folder->entries;
  return ok();
}

Result<std::uint64_t> MemoryFiles::free_bytes(const std::string& path) {
  const std::lock_guard lock(disk_->mutex);
  KILTER_TRY(find_folder(path, "ask for free space"));
  return disk_->free_bytes;
}

/// Makes the durable state the present one, but for what `keep()` lets survive.
template <typename Keep>
void MemoryFiles::restart(Keep keep) {
  const std::lock_guard lock(disk_->mutex);
  std::vector<MemoryNodePtr> todo{root_};
  std::set<const MemoryNode*> seen;  // two names may lead to one node after a partial loss
  while (!todo.empty()) {
    const MemoryNodePtr node = todo.back();
    todo.pop_back();
    if (!seen.insert(node.get()).second) continue;
    if (node->content != node->durable_content && keep()) node->durable_content = node->content;
    node->content = node->durable_content;
    std::set<std::string> names;
    for (const auto& [name, child] : node->entries) names.insert(name);
    for (const auto& [name, child] : node->durable_entries) names.insert(name);
    for (const std::string& name : names) {
      const auto now = node->entries.find(name);
      const auto durable = node->durable_entries.find(name);
      const MemoryNodePtr present = now == node->entries.end() ? nullptr : now->second;
      const MemoryNodePtr safe = durable == node->durable_entries.end() ? nullptr : durable->second;
      if (present == safe || !keep()) continue;
      if (present == nullptr) node->durable_entries.erase(name);
      if (present != nullptr) node->durable_entries[name] = present;
    }
    node->entries = node->durable_entries;
    for (const auto& [name, child] : node->entries) todo.push_back(child);
  }
}

void MemoryFiles::lose_power() {
  restart([] { return false; });
}

void MemoryFiles::lose_power_partly(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  restart([&] { return random() % 2 == 0; });
}

void MemoryFiles::set_free_bytes(std::uint64_t bytes) {
  const std::lock_guard lock(disk_->mutex);
  disk_->free_bytes = bytes;
}

void MemoryFiles::put_node(const std::string& path, const MemoryNodePtr& node) {
  const std::lock_guard lock(disk_->mutex);
  MemoryNodePtr folder = root_;
  std::string_view rest = path;
  while (true) {
    while (rest.starts_with('/')) rest.remove_prefix(1);
    const std::string part(rest.substr(0, rest.find('/')));
    rest.remove_prefix(part.size());
    const bool last = rest.find_first_not_of('/') == std::string_view::npos;
    MemoryNodePtr& entry = folder->entries[part];
    if (last) entry = node;
    if (entry == nullptr) {
      entry = std::make_shared<MemoryNode>();
      entry->kind = FileKind::kFolder;
    }
    folder->durable_entries[part] = entry;
    if (last) return;
    folder = entry;
  }
}

void MemoryFiles::put(const std::string& path, std::string_view content) {
  const auto node = std::make_shared<MemoryNode>();
  node->content = content;
  node->durable_content = content;
  put_node(path, node);
}

void MemoryFiles::put_symlink(const std::string& path, const std::string& target) {
  const auto node = std::make_shared<MemoryNode>();
  node->kind = FileKind::kSymlink;
  node->content = target;
  node->durable_content = target;
  put_node(path, node);
}

}  // namespace

std::unique_ptr<MemoryFileSystem> make_memory_file_system() {
  return std::make_unique<MemoryFiles>();
}

}  // namespace kilter::io
