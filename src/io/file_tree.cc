#include "io/file_tree.h"

#include <algorithm>

#include "base/try.h"

namespace kilter::io {
namespace {

struct OpenFolder {
  std::string path;  // relative; empty for the root
  std::uint32_t depth = 0;
};

class Lister {
 public:
  Lister(FileSystem& files, const std::string& root, const FileTreeLimits& limits)
      : files_(files), root_(root), limits_(limits) {}

  Result<FileTree> run() {
    todo_.push_back({"", 0});
    while (!todo_.empty()) {
      const OpenFolder folder = std::move(todo_.back());
      todo_.pop_back();
      KILTER_TRY(list(folder));
    }
    std::ranges::sort(tree_.files, {}, &FileTreeEntry::path);
    std::ranges::sort(tree_.others, {}, &FileTreeEntry::path);
    return std::move(tree_);
  }

 private:
  Status list(const OpenFolder& folder) {
    auto entries = files_.list(folder.path.empty() ? root_ : join_path(root_, folder.path));
    if (!entries && folder.path.empty()) return fail(std::move(entries).error());
    if (!entries) {
      tree_.errors.push_back(std::move(entries).error());
      return ok();
    }
    for (const FolderEntry& entry : *entries) KILTER_TRY(add(folder, entry));
    return ok();
  }

  Status add(const OpenFolder& folder, const FolderEntry& entry) {
    std::string path = join_path(folder.path, entry.name);
    if (++count_ > limits_.count_max)
      return too_many("more than " + std::to_string(limits_.count_max) + " entries", path);
    if (entry.stat.kind != FileKind::kFolder) return add_leaf(std::move(path), entry.stat);
    if (folder.depth + 1 >= limits_.depth_max)
      return too_many("folders deeper than " + std::to_string(limits_.depth_max), path);
    todo_.push_back({std::move(path), folder.depth + 1});
    return ok();
  }

  Status add_leaf(std::string path, FileStat stat) {
    const bool symlink = stat.kind == FileKind::kSymlink;
    if (symlink) {
      const auto target = files_.stat(join_path(root_, path), true);
      if (target) stat = *target;
    }
    auto& list = stat.kind == FileKind::kFile ? tree_.files : tree_.others;
    list.push_back({std::move(path), stat, symlink});
    return ok();
  }

  Status too_many(const std::string& what, const std::string& path) const {
    Error error(ErrorCode::kLimitExceeded, "the folder holds " + what);
    return fail(std::move(error).at_path(join_path(root_, path)));
  }

  FileSystem& files_;
  const std::string& root_;
  FileTreeLimits limits_;
  std::uint64_t count_ = 0;
  std::vector<OpenFolder> todo_;
  FileTree tree_;
};

}  // namespace

const FileTreeEntry* FileTree::find(std::string_view path) const {
  const auto found = std::ranges::lower_bound(
      files, path, {}, [](const FileTreeEntry& entry) { return std::string_view(entry.path); });
  return found != files.end() && found->path == path ? &*found : nullptr;
}

Result<FileTree> list_file_tree(FileSystem& files, const std::string& root,
                                const FileTreeLimits& limits) {
  return Lister(files, root, limits).run();
}

}  // namespace kilter::io
