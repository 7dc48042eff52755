#include "store/mount/mount_tree.h"

#include <fmt/format.h>

#include "base/try.h"

namespace kilter::store {
namespace {

constexpr std::uint64_t kMountMemoryMin = 64ULL << 20;
constexpr std::size_t kOpenCommitsMax = 8;
constexpr double kLastingSeconds = 86'400;

std::string child_path(const std::string& folder, std::string_view name) {
  return folder.empty() ? std::string(name) : folder + "/" + std::string(name);
}

tl::unexpected<Error> nothing_there(const std::string& path) {
  return fail(Error(ErrorCode::kNotFound, "there is nothing of this name").at_path(path));
}

}  // namespace

/// What an inode stands for.
struct MountTree::Node {
  std::string key;   ///< "branches/main/sub" for folders; tree and number for files
  std::string path;  ///< by which it was found first
  bool folder = true;
  Digest commit{};  ///< of a file: one that holds it
  std::uint32_t file = 0;
  std::uint64_t bytes = 0;
  std::int64_t time_unix_ns = 0;
  std::uint64_t references = 0;
};

/// A commit that is open.
struct MountTree::CommitFolder {
  std::shared_ptr<const TreeReader> reader;
  std::unique_ptr<io::FileSystem> files;  ///< its root is ""
  Digest tree{};
  std::int64_t time_unix_ns = 0;
};

MountTree::MountTree(std::shared_ptr<Store> store, const MountOptions& options)
    : store_(std::move(store)),
      options_(options),
      ahead_(store_, options.thread_count, options.max_memory_bytes / 8) {
  // The rest is for chunks while they are decoded, in two forms each.
  store_->set_cache_bytes(options.max_memory_bytes / 2);
}
MountTree::~MountTree() = default;

Result<std::unique_ptr<MountTree>> MountTree::make(std::shared_ptr<Store> store,
                                                   const MountOptions& options) {
  if (options.max_memory_bytes < kMountMemoryMin)
    return fail(ErrorCode::kInvalidArgument, "a mount needs at least 64 MiB of memory");
  std::unique_ptr<MountTree> tree(new MountTree(std::move(store), options));
  KILTER_TRY(tree->view());
  return tree;
}

/// References are few and small; the history is read again only if one moved.
Result<std::shared_ptr<const MountView>> MountTree::view() {
  const std::lock_guard guard(view_mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (view_ != nullptr && now - looked_ < options_.look_again) return view_;
  KILTER_ASSIGN(const auto refs, list_refs(store_->place()));
  const auto same = [](const Ref& a, const Ref& b) {
    return a.kind == b.kind && a.name == b.name && a.commit == b.commit;
  };
  if (view_ == nullptr || !std::ranges::equal(refs, view_->refs(), same)) {
    KILTER_ASSIGN(const History history, History::load(*store_));
    view_ = std::make_shared<const MountView>(history);
  }
  looked_ = now;
  return view_;
}

Result<std::shared_ptr<const MountTree::CommitFolder>> MountTree::commit_folder(
    const Digest& commit) {
  {
    const std::lock_guard guard(mutex_);
    for (auto at = commits_.begin(); at != commits_.end(); ++at) {
      if (at->first != commit) continue;
      commits_.splice(commits_.begin(), commits_, at);
      return commits_.front().second;
    }
  }
  KILTER_ASSIGN(const Commit content, store_->read_commit(commit));
  KILTER_ASSIGN(std::shared_ptr<const Tree> tree, store_->read_tree(content.tree));
  if (tree->single_file) {  // a mount shows it as a folder with one file
    auto folder = std::make_shared<Tree>(*tree);
    folder->single_file = false;
    tree = std::move(folder);
  }
  auto made = std::make_shared<CommitFolder>();
  made->reader = std::make_shared<const TreeReader>(store_, std::move(tree));
  made->files = make_tree_file_system(made->reader, "");
  made->tree = content.tree;
  made->time_unix_ns = content.time_unix_ns;
  const std::lock_guard guard(mutex_);
  commits_.emplace_front(commit, made);
  if (commits_.size() > kOpenCommitsMax) commits_.pop_back();
  return made;
}

Result<std::string> MountTree::folder_path(std::uint64_t inode) const {
  if (inode == kRoot) return std::string();
  const std::lock_guard guard(mutex_);
  const auto found = nodes_.find(inode);
  if (found == nodes_.end()) return nothing_there("");
  if (!found->second.folder)
    return fail(Error(ErrorCode::kInvalidArgument, "is no folder").at_path(found->second.path));
  return found->second.path;
}

/// Finds what a path names now.
Result<MountEntry> MountTree::describe(const std::string& path, bool count) {
  KILTER_ASSIGN(const auto view, this->view());
  const auto spot = view->find(path);
  if (!spot) return nothing_there(path);
  Node node;
  node.key = node.path = path;
  if (!spot->commit) return entry_of(std::move(node), count);
  KILTER_ASSIGN(const auto commit, commit_folder(*spot->commit));
  node.time_unix_ns = commit->time_unix_ns;
  if (const auto file = commit->reader->find(spot->inner)) {
    node.folder = false;
    node.commit = *spot->commit;
    node.file = *file;
    node.bytes = commit->reader->tree().files[*file].bytes;
    node.key = fmt::format("{}:{}", to_hex(commit->tree), *file);
  } else if (!commit->files->stat("/" + spot->inner)) {
    return nothing_there(path);
  }
  return entry_of(std::move(node), count);
}

MountEntry MountTree::entry_of(Node node, bool count) {
  MountEntry entry;
  entry.folder = node.folder;
  entry.bytes = node.bytes;
  entry.time_unix_ns = node.time_unix_ns;
  set_seconds(node, entry);
  if (!count) return entry;
  const std::lock_guard guard(mutex_);
  const auto [known, fresh] = inodes_.try_emplace(node.key, next_inode_);
  entry.inode = known->second;
  if (fresh) nodes_.emplace(next_inode_++, std::move(node));
  ++nodes_.at(entry.inode).references;
  return entry;
}

void MountTree::set_seconds(const Node& node, MountEntry& entry) {
  const bool name_lasts = is_lasting(node.path) || node.path.find('/') == std::string::npos;
  entry.name_seconds = name_lasts ? kLastingSeconds : 1;
  entry.entry_seconds = is_lasting(node.path) || !node.folder ? kLastingSeconds : 1;
}

Result<MountEntry> MountTree::look_up(std::uint64_t folder, std::string_view name) {
  KILTER_ASSIGN(const std::string path, folder_path(folder));
  return describe(child_path(path, name), true);
}

void MountTree::forget(std::uint64_t inode, std::uint64_t count) {
  const std::lock_guard guard(mutex_);
  const auto found = nodes_.find(inode);
  if (found == nodes_.end()) return;
  Node& node = found->second;
  node.references -= std::min(node.references, count);
  if (node.references > 0) return;
  inodes_.erase(node.key);
  nodes_.erase(found);
}

Result<MountEntry> MountTree::stat(std::uint64_t inode) {
  MountEntry entry;
  if (inode != kRoot) {
    std::unique_lock guard(mutex_);
    const auto found = nodes_.find(inode);
    if (found == nodes_.end()) return nothing_there("");
    const Node node = found->second;
    guard.unlock();
    if (node.folder) {  // what it shows may have changed, or gone
      KILTER_ASSIGN(entry, describe(node.path, false));
    } else {
      entry = entry_of(node, false);
    }
  }
  entry.inode = inode;
  return entry;
}

Result<std::vector<MountListed>> MountTree::list(std::uint64_t folder) {
  KILTER_ASSIGN(const std::string path, folder_path(folder));
  KILTER_ASSIGN(const auto view, this->view());
  const auto spot = view->find(path);
  if (!spot) return nothing_there(path);
  std::vector<MountListed> listed;
  if (!spot->commit) {
    for (std::string& name : view->names(path)) listed.push_back({std::move(name), true});
    return listed;
  }
  KILTER_ASSIGN(const auto commit, commit_folder(*spot->commit));
  KILTER_ASSIGN(const auto entries, commit->files->list("/" + spot->inner));
  for (const io::FolderEntry& entry : entries)
    listed.push_back({entry.name, entry.stat.kind == io::FileKind::kFolder});
  return listed;
}

std::size_t MountTree::inode_count() const {
  const std::lock_guard guard(mutex_);
  return nodes_.size();
}

/// Reads through ahead_, and lets it run before the reads.
struct MountTree::File : MountFile {
  File(ChunkAhead& chunks, std::shared_ptr<const TreeReader> tree, std::uint32_t number,
       std::uint64_t window_max)
      : ahead(chunks), reader(std::move(tree)), file(number), window_bytes_max(window_max) {}

  std::uint64_t bytes() const override { return reader->tree().files[file].bytes; }

  Result<std::size_t> read(std::uint64_t offset_bytes, std::span<std::byte> out) override {
    if (offset_bytes >= bytes()) return std::size_t{0};
    out = out.first(std::min<std::uint64_t>(out.size(), bytes() - offset_bytes));
    const std::size_t count = out.size();
    KILTER_ASSIGN(const auto parts, reader->parts(file, offset_bytes, count));
    read_ahead(offset_bytes, count);
    for (const ChunkPart& part : parts) {
      const std::span<std::byte> target = out.first(part.count_bytes);
      const Status copied = ahead.get(part).and_then(
          [&](const PlainChunk& chunk) { return copy_part(part, chunk, target); });
      if (!copied) return fail(located(copied.error(), part));
      out = out.subspan(part.count_bytes);
    }
    return count;
  }

  /// Where readers see the fault; where the store has it becomes part of the message.
  Error located(Error error, const ChunkPart& part) const {
    if (!error.path.empty()) {
      const std::string at =
          error.offset_bytes ? fmt::format(" at offset {}", *error.offset_bytes) : "";
      error.message = fmt::format("{} ({}{})", error.message, error.path, at);
    }
    error.offset_bytes.reset();
    error.path = reader->tree().files[file].path;
    if (part.tensor != nullptr) error.tensor = part.tensor->name;
    return error;
  }

  /// The window doubles while reads follow one another, about: a kernel sends several at once.
  void read_ahead(std::uint64_t offset_bytes, std::uint64_t count) {
    constexpr std::uint64_t kSlackBytes = 2ULL << 20;
    constexpr std::uint64_t kFirstWindowBytes = 4ULL << 20;
    const std::lock_guard guard(mutex);
    const bool follows = offset_bytes + kSlackBytes >= next && offset_bytes <= next + kSlackBytes;
    window = follows ? std::min(std::max(2 * window, kFirstWindowBytes), window_bytes_max) : 0;
    if (!follows) begun = 0;
    next = follows ? std::max(next, offset_bytes + count) : offset_bytes + count;
    const std::uint64_t begin = std::max(begun, next);
    const std::uint64_t end = std::min(next + window, bytes());
    // Asked for in halves of the window, not with every read.
    if (begin >= end || (end < bytes() && end - begin < window / 2)) return;
    const auto parts = reader->parts(file, begin, end - begin);
    if (!parts) return;
    begun = begin;
    for (const ChunkPart& part : *parts) {
      if (!ahead.begin(part)) return;
      begun += part.count_bytes;
    }
  }

  ChunkAhead& ahead;
  std::shared_ptr<const TreeReader> reader;
  std::uint32_t file;
  std::uint64_t window_bytes_max;
  std::mutex mutex;
  std::uint64_t next = 0;   ///< where the next read begins if reads follow one another
  std::uint64_t begun = 0;  ///< up to where chunks were asked for
  std::uint64_t window = 0;
};

Result<std::shared_ptr<MountFile>> MountTree::open(std::uint64_t inode) {
  Node node;
  {
    const std::lock_guard guard(mutex_);
    const auto found = nodes_.find(inode);
    if (found == nodes_.end()) return nothing_there("");
    node = found->second;
  }
  if (node.folder)
    return fail(Error(ErrorCode::kInvalidArgument, "is a folder").at_path(node.path));
  KILTER_ASSIGN(const auto commit, commit_folder(node.commit));
  return std::make_shared<File>(ahead_, commit->reader, node.file, options_.max_memory_bytes / 16);
}

}  // namespace kilter::store
