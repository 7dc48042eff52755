#include "store/address.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "base/try.h"
#include "flow/engine.h"
#include "io/lasting_paths.h"
#include "io/s3/s3.h"
#include "store/history/history.h"
#include "store/place/object_place.h"
#include "store/read/commit_files.h"

namespace kilter::store {
namespace {

bool is_remote(std::string_view address) { return address.find("://") != std::string_view::npos; }

bool is_store_folder(const std::string& path) {
  return io::real_file_system().stat(io::join_path(path, kStoreFile)).has_value();
}

/// Nobody is asked whether there is a store: the last '@' behind the scheme ends its name.
StoreAddress parse_remote(const std::string& text) {
  const std::size_t at = text.rfind('@');
  if (at == std::string::npos || at < text.find("://")) return {text, "", false};
  return {text.substr(0, at), text.substr(at + 1), true};
}

/// The commit a selector names, perhaps with a path behind it: names of branches hold '/' too.
Result<std::size_t> resolve_with_path(const History& history, const std::string& selector,
                                      std::string& path) {
  auto whole = history.resolve(selector);
  for (std::size_t slash = selector.rfind('/'); !whole && slash != std::string::npos && slash > 0;
       slash = selector.rfind('/', slash - 1)) {
    const auto part = history.resolve(std::string_view(selector).substr(0, slash));
    if (!part) continue;
    path = selector.substr(slash + 1);
    return *part;
  }
  return whole;
}

class AddressFileSystem : public io::FileSystem, public io::LastingPaths {
 public:
  AddressFileSystem(io::FileSystem& real, std::optional<std::uint64_t> chunk_bytes)
      : real_(real), chunk_bytes_(chunk_bytes) {}

  Result<std::unique_ptr<io::ReadFile>> open_read(const std::string& path) override {
    KILTER_ASSIGN(FileSystem * files, files_of(path));
    return files->open_read(path);
  }
  Result<io::FileStat> stat(const std::string& path, bool follow) override {
    KILTER_ASSIGN(FileSystem * files, files_of(path));
    return files->stat(path, follow);
  }
  Result<std::vector<io::FolderEntry>> list(const std::string& path) override {
    KILTER_ASSIGN(FileSystem * files, files_of(path));
    return files->list(path);
  }
  Result<std::unique_ptr<io::ReadFile>> open_read_beneath(const std::string& root,
                                                          const std::string& name) override {
    KILTER_ASSIGN(FileSystem * files, files_of(root));
    return files->open_read_beneath(root, name);
  }
  // Outputs are never commits: `kilter save` makes those.
  Result<std::unique_ptr<io::WriteFile>> create(const std::string& path) override {
    return real_.create(path);
  }
  Result<std::unique_ptr<io::WriteFile>> open_write(const std::string& path) override {
    return real_.open_write(path);
  }
  Status make_folder(const std::string& path) override { return real_.make_folder(path); }
  Status remove(const std::string& path) override { return real_.remove(path); }
  Status rename(const std::string& from, const std::string& to, io::Replace replace) override {
    return real_.rename(from, to, replace);
  }
  Status exchange(const std::string& a, const std::string& b) override {
    return real_.exchange(a, b);
  }
  Status sync_folder(const std::string& path) override { return real_.sync_folder(path); }
  Result<std::uint64_t> free_bytes(const std::string& path) override {
    return real_.free_bytes(path);
  }
  Result<std::unique_ptr<io::FileLock>> lock(const std::string& path, io::LockMode mode,
                                             bool wait) override {
    return real_.lock(path, mode, wait);
  }

  /// By the commit's digest, whatever selector the path names it with.
  std::string lasting_path(const std::string& path) override {
    if (!files_of(path)) return path;
    const std::lock_guard guard(mutex_);
    for (const Mounted& mounted : mounted_)
      if (is_at_or_below(path, mounted.mount))
        return mounted.lasting + path.substr(mounted.mount.size());
    return path;
  }

  /// Not for several threads at once.
  Result<FileSystem*> add(const FoundCommit& found, std::string base) {
    KILTER_ASSIGN(const Commit commit, found.store->read_commit(found.digest));
    KILTER_ASSIGN(auto tree, found.store->read_tree(commit.tree));
    if (chunk_bytes_) found.store->set_cache_bytes(*chunk_bytes_);
    auto reader = std::make_shared<const TreeReader>(found.store, std::move(tree));
    mounted_.push_back({base, found.store->address() + "@" + to_hex(found.digest),
                        make_tree_file_system(std::move(reader), base)});
    return mounted_.back().files.get();
  }

 private:
  struct Mounted {
    std::string mount;
    std::string lasting;  ///< the same by the commit's digest
    std::unique_ptr<FileSystem> files;
  };

  static bool is_at_or_below(const std::string& path, const std::string& mount) {
    return path.starts_with(mount) && (path.size() == mount.size() || path[mount.size()] == '/');
  }

  Result<FileSystem*> files_of(const std::string& path) {
    const std::lock_guard guard(mutex_);
    // First, because a file below a store that was named without '@' looks like any other.
    for (const Mounted& mounted : mounted_)
      if (is_at_or_below(path, mounted.mount)) return mounted.files.get();
    if (path.find('@') == std::string::npos && !is_remote(path) && !is_store_folder(path))
      return &real_;
    const auto address = parse_store_address(path);
    if (!address) return &real_;
    return mount(path, *address);
  }

  /// A store that many addresses name is opened once: its steps share one cache of chunks.
  Result<FileSystem*> mount(const std::string& path, const StoreAddress& address) {
    auto& store = stores_[address.store];
    if (!store) {
      KILTER_ASSIGN(store, open_store(address.store));
    }
    KILTER_ASSIGN(const FoundCommit found, find_commit(store, address.selector));
    // What names the commit itself, without a path inside.
    std::string base = path;
    if (!found.path.empty()) base.resize(path.size() - found.path.size() - 1);
    while (base.ends_with('/')) base.pop_back();
    return add(found, std::move(base));
  }

  io::FileSystem& real_;
  std::optional<std::uint64_t> chunk_bytes_;
  std::mutex mutex_;
  std::vector<Mounted> mounted_;
  std::map<std::string, std::shared_ptr<Store>> stores_;  // by address
};

}  // namespace

Result<std::unique_ptr<Place>> open_place(const std::string& address) {
  if (address.starts_with("s3://")) {
    KILTER_ASSIGN(std::shared_ptr<io::ObjectStore> objects, io::open_s3(address));
    return make_object_place(std::move(objects), {.cache = range_cache_of_environment()});
  }
  if (is_remote(address))
    return fail(Error(ErrorCode::kUnsupported, "stores of this kind are not known")
                    .at_path(address)
                    .advise("a store is a folder or s3://BUCKET/PREFIX"));
  return make_folder_place(io::real_file_system(), address);
}

Result<std::shared_ptr<Store>> open_store(const std::string& address) {
  KILTER_ASSIGN(auto place, open_place(address));
  return Store::open(std::move(place));
}

std::optional<StoreAddress> parse_store_address(std::string_view address) {
  const std::string text(address);
  const bool remote = is_remote(address);
  if (!remote && is_store_folder(text)) return StoreAddress{text, "", false};
  if (!remote && io::real_file_system().stat(text)) return std::nullopt;
  if (remote) return parse_remote(text);
  for (std::size_t at = text.find('@'); at != std::string::npos; at = text.find('@', at + 1)) {
    std::string store = text.substr(0, at);
    if (is_store_folder(store)) return StoreAddress{store, text.substr(at + 1), true};
  }
  return std::nullopt;
}

Result<FoundCommit> find_commit(const StoreAddress& address) {
  KILTER_ASSIGN(auto store, open_store(address.store));
  return find_commit(std::move(store), address.selector);
}

Result<FoundCommit> find_commit(std::shared_ptr<Store> store, const std::string& selector) {
  FoundCommit found;
  found.store = std::move(store);
  KILTER_ASSIGN(const History history, History::load(*found.store, selector));
  auto number = resolve_with_path(history, selector, found.path);
  if (!number) return fail(std::move(number).error().at_path(found.store->address()));
  const CommitSummary& commit = history.commits()[*number];
  found.digest = commit.digest;
  if (!commit.retired) return found;
  return fail(Error(ErrorCode::kNotFound,
                    fmt::format("the data of commit {} was given up; its record is kept",
                                to_hex(commit.digest).substr(0, 12)))
                  .at_path(found.store->address())
                  .advise("`kilter log` shows what is left"));
}

std::uint64_t chunk_memory(std::uint64_t max_memory_bytes) {
  constexpr std::uint64_t kMost = 64ULL << 20;
  const std::uint64_t left = max_memory_bytes - std::min(max_memory_bytes, kEngineMemoryBytesMin);
  return std::min({kMost, max_memory_bytes / 4, left});
}

std::unique_ptr<io::FileSystem> files_for(const std::vector<std::string>& addresses,
                                          std::uint64_t* max_memory_bytes) {
  for (const std::string& address : addresses) {
    if (!parse_store_address(address)) continue;
    std::optional<std::uint64_t> chunk_bytes;
    if (max_memory_bytes != nullptr) {
      chunk_bytes = chunk_memory(*max_memory_bytes);
      *max_memory_bytes -= *chunk_bytes;
    }
    return make_address_file_system(io::real_file_system(), chunk_bytes);
  }
  return nullptr;
}

std::unique_ptr<io::FileSystem> make_address_file_system(io::FileSystem& real,
                                                         std::optional<std::uint64_t> chunk_bytes) {
  return std::make_unique<AddressFileSystem>(real, chunk_bytes);
}

Result<std::unique_ptr<io::FileSystem>> make_commit_file_system(const FoundCommit& commit,
                                                                std::string mount) {
  auto files = std::make_unique<AddressFileSystem>(io::real_file_system(), std::nullopt);
  KILTER_TRY(files->add(commit, std::move(mount)).map([](io::FileSystem*) {}));
  return files;
}

}  // namespace kilter::store
