// A store as a tree of folders and files with numbers, as a kernel asks for it. Knows nothing of
// FUSE.
#pragma once

#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "store/mount/chunk_ahead.h"
#include "store/mount/mount_view.h"

namespace kilter::store {

struct MountEntry {
  std::uint64_t inode = 0;
  bool folder = true;
  std::uint64_t bytes = 0;
  std::int64_t time_unix_ns = 0;  ///< of the commit; 0 for folders of names
  double name_seconds = 0;        ///< how long the name leads here for certain
  double entry_seconds = 0;       ///< how long the rest stays as it is
};

struct MountListed {
  std::string name;
  bool folder = true;
};

/// A file that is open: it keeps its bytes whatever happens to the branch. All calls may come from
/// several threads.
class MountFile {
 public:
  virtual ~MountFile() = default;
  virtual std::uint64_t bytes() const = 0;
  /// Fills `out` from `offset_bytes`; returns how much there was before the end of the file. Reads
  /// ahead once it sees that reads follow one another. Errors: as Store::read_chunk(), with the
  /// file's path and the tensor.
  virtual Result<std::size_t> read(std::uint64_t offset_bytes, std::span<std::byte> out) = 0;
};

struct MountOptions {
  std::uint64_t max_memory_bytes = 512ULL << 20;  ///< of decoded chunks; at least 64 MiB
  unsigned thread_count = 0;                      ///< that read ahead; 0 = usable_cpu_count()
  /// References are looked at again when the last look is older.
  std::chrono::milliseconds look_again{1000};
};

/// All calls may come from several threads.
class MountTree {
 public:
  static constexpr std::uint64_t kRoot = 1;

  /// Errors: kInvalidArgument for too little memory; kCorrupt, kMalformed, kIo from the history.
  static Result<std::unique_ptr<MountTree>> make(std::shared_ptr<Store> store,
                                                 const MountOptions& options);
  ~MountTree();

  /// The entry of a name in a folder. Its inode stays known until forget() has been told of as many
  /// calls. A file has one inode wherever it is named. Errors: kNotFound; what the store reports.
  Result<MountEntry> look_up(std::uint64_t folder, std::string_view name);
  void forget(std::uint64_t inode, std::uint64_t count);
  Result<MountEntry> stat(std::uint64_t inode);
  /// Sorted by name. Errors: kNotFound when what the folder shows is gone.
  Result<std::vector<MountListed>> list(std::uint64_t folder);
  Result<std::shared_ptr<MountFile>> open(std::uint64_t file);

  /// Inodes that are known, without the root.
  std::size_t inode_count() const;

 private:
  struct Node;
  struct CommitFolder;
  struct File;
  MountTree(std::shared_ptr<Store> store, const MountOptions& options);

  Result<std::shared_ptr<const MountView>> view();
  Result<std::shared_ptr<const CommitFolder>> commit_folder(const Digest& commit);
  Result<std::string> folder_path(std::uint64_t inode) const;
  Result<MountEntry> describe(const std::string& path, bool count);
  MountEntry entry_of(Node node, bool count);
  static void set_seconds(const Node& node, MountEntry& entry);

  std::shared_ptr<Store> store_;
  MountOptions options_;
  ChunkAhead ahead_;

  std::mutex view_mutex_;  // one thread at a time looks at the references
  std::shared_ptr<const MountView> view_;
  std::chrono::steady_clock::time_point looked_;

  mutable std::mutex mutex_;
  std::list<std::pair<Digest, std::shared_ptr<const CommitFolder>>> commits_;  // last used first
  std::unordered_map<std::uint64_t, Node> nodes_;
  std::unordered_map<std::string, std::uint64_t> inodes_;  // by Node::key
  std::uint64_t next_inode_ = kRoot + 1;
};

}  // namespace kilter::store
