#include "ops/file_walk.h"

#include "base/try.h"

namespace kilter::ops {

namespace {

constexpr std::size_t kFileCountMax = 2'000'000;

/// A symlink counts as what it leads to, unless that is a folder: folders could form a cycle.
void take_entry(io::FileSystem& files, const std::string& path, io::FileKind kind,
                std::vector<std::string>* folders, std::vector<std::string>* found,
                std::vector<WalkFault>* faults) {
  if (kind == io::FileKind::kSymlink) {
    const auto target = files.stat(path);
    if (!target) {
      faults->push_back({path, "file.unreadable", target.error()});
      return;
    }
    if (target->kind == io::FileKind::kFolder) {
      faults->push_back({path, "file.not-followed",
                         Error(ErrorCode::kUnsupported, "a symlink to a folder is not followed")});
      return;
    }
    kind = target->kind;
  }
  if (kind == io::FileKind::kFolder) {
    folders->push_back(path);
  } else if (kind == io::FileKind::kFile) {
    found->push_back(path);
  } else {
    faults->push_back({path, "file.special", Error(ErrorCode::kUnsupported, "not a regular file")});
  }
}

}  // namespace

Status walk_files(io::FileSystem& files, const std::string& path, const RunContext& context,
                  std::vector<std::string>* found, std::vector<WalkFault>* faults) {
  const auto stat = files.stat(path);
  if (!stat) {
    faults->push_back({path, "file.unreadable", stat.error()});
    return ok();
  }
  std::vector<std::string> folders;
  // What the user named is followed even where it is a symlink to a folder.
  take_entry(files, path, stat->kind, &folders, found, faults);
  while (!folders.empty()) {
    KILTER_TRY(context.check());
    const std::string folder = std::move(folders.back());
    folders.pop_back();
    const auto entries = files.list(folder);
    if (!entries) {
      faults->push_back({folder, "file.unreadable", entries.error()});
      continue;
    }
    for (const io::FolderEntry& entry : *entries) {
      const std::string child = folder + (folder.ends_with('/') ? "" : "/") + entry.name;
      take_entry(files, child, entry.stat.kind, &folders, found, faults);
    }
    if (found->size() > kFileCountMax) {
      faults->push_back(
          {folder, "file.limit", Error(ErrorCode::kLimitExceeded, "more than two million files")});
      return ok();
    }
  }
  return ok();
}

}  // namespace kilter::ops
