#include <algorithm>
#include <set>

#include "base/try.h"
#include "store/read/commit_files.h"

namespace kilter::store {
namespace {

class TreeReadFile : public io::ReadFile {
 public:
  TreeReadFile(std::shared_ptr<const TreeReader> reader, std::uint32_t file, std::string path)
      : reader_(std::move(reader)), file_(file), path_(std::move(path)) {}
  const std::string& path() const override { return path_; }
  std::uint64_t bytes() const override { return reader_->tree().files[file_].bytes; }
  Status read_at(std::uint64_t offset_bytes, std::span<std::byte> out) const override {
    auto read = reader_->read(file_, offset_bytes, out);
    if (!read) return fail(std::move(read).error().at_path(path_));
    return ok();
  }

 private:
  std::shared_ptr<const TreeReader> reader_;
  std::uint32_t file_;
  std::string path_;
};

class TreeFileSystem : public io::FileSystem {
 public:
  TreeFileSystem(std::shared_ptr<const TreeReader> reader, std::string mount)
      : reader_(std::move(reader)), mount_(std::move(mount)) {}

  Result<std::unique_ptr<io::ReadFile>> open_read(const std::string& path) override {
    const auto relative = relative_path(path);
    if (relative)
      if (const auto file = find(*relative))
        return std::make_unique<TreeReadFile>(reader_, *file, path);
    if (stat(path, true))
      return fail(Error(ErrorCode::kInvalidArgument, "is a folder").at_path(path));
    return not_found(path);
  }
  Result<io::FileStat> stat(const std::string& path, bool) override {
    const auto relative = relative_path(path);
    if (!relative) return not_found(path);
    io::FileStat info;
    if (const auto file = find(*relative)) {
      info.bytes = reader_->tree().files[*file].bytes;
      info.allocated_bytes = info.bytes;
      return info;
    }
    info.kind = io::FileKind::kFolder;
    if (relative->empty() || !below(*relative).empty()) return info;
    return not_found(path);
  }
  Result<std::vector<io::FolderEntry>> list(const std::string& path) override {
    KILTER_ASSIGN(const io::FileStat info, stat(path, true));
    if (info.kind != io::FileKind::kFolder)
      return fail(Error(ErrorCode::kInvalidArgument, "is no folder").at_path(path));
    return entries_of(*relative_path(path));
  }
  Result<std::unique_ptr<io::WriteFile>> create(const std::string& path) override {
    return read_only(path);
  }
  Status make_folder(const std::string& path) override { return read_only(path); }
  Status remove(const std::string& path) override { return read_only(path); }
  Status rename(const std::string& from, const std::string&, io::Replace) override {
    return read_only(from);
  }
  Status sync_folder(const std::string& path) override { return read_only(path); }
  Result<std::uint64_t> free_bytes(const std::string&) override { return std::uint64_t{0}; }

 private:
  static tl::unexpected<Error> not_found(const std::string& path) {
    return fail(Error(ErrorCode::kNotFound, "No such file in this commit").at_path(path));
  }
  static tl::unexpected<Error> read_only(const std::string& path) {
    return fail(Error(ErrorCode::kPermission, "a commit never changes").at_path(path));
  }

  /// The path below the mount; "" for the mount itself.
  std::optional<std::string> relative_path(std::string_view path) const {
    if (!path.starts_with(mount_)) return std::nullopt;
    path.remove_prefix(mount_.size());
    if (!path.empty() && path.front() != '/') return std::nullopt;
    while (path.starts_with('/')) path.remove_prefix(1);
    while (path.ends_with('/')) path.remove_suffix(1);
    return std::string(path);
  }

  std::optional<std::uint32_t> find(const std::string& relative) const {
    if (!reader_->tree().single_file) return reader_->find(relative);
    if (!relative.empty()) return std::nullopt;
    return 0;
  }

  /// The files whose paths begin with this folder's.
  std::span<const TreeFile> below(const std::string& folder) const {
    const std::vector<TreeFile>& files = reader_->tree().files;
    if (folder.empty()) return files;
    const std::string prefix = folder + "/";
    const auto begin = std::ranges::lower_bound(files, prefix, {}, &TreeFile::path);
    const auto end = std::find_if(
        begin, files.end(), [&](const TreeFile& file) { return !file.path.starts_with(prefix); });
    return {begin, end};
  }

  std::vector<io::FolderEntry> entries_of(const std::string& folder) const {
    const std::size_t cut = folder.empty() ? 0 : folder.size() + 1;
    std::vector<io::FolderEntry> entries;
    std::set<std::string> folders;
    for (const TreeFile& file : below(folder)) {
      const std::string rest = file.path.substr(cut);
      io::FileStat info;
      info.bytes = info.allocated_bytes = file.bytes;
      const std::size_t slash = rest.find('/');
      if (slash == std::string::npos) {
        entries.push_back({rest, info});
      } else if (folders.insert(rest.substr(0, slash)).second) {
        info = {};
        info.kind = io::FileKind::kFolder;
        entries.push_back({rest.substr(0, slash), info});
      }
    }
    std::ranges::sort(entries, {}, &io::FolderEntry::name);
    return entries;
  }

  std::shared_ptr<const TreeReader> reader_;
  std::string mount_;
};

}  // namespace

std::unique_ptr<io::FileSystem> make_tree_file_system(std::shared_ptr<const TreeReader> reader,
                                                      std::string mount) {
  return std::make_unique<TreeFileSystem>(std::move(reader), std::move(mount));
}

}  // namespace kilter::store
