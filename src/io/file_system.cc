#include "io/file_system.h"

#include "base/try.h"
#include "io/os_error.h"

namespace kilter::io {
namespace {

/// What remove_tree() still has to do: list a folder, or remove it once it is empty.
struct RemoveStep {
  std::string path;
  bool listed = false;
};

void keep_first(Status& first, Status next) {
  if (first && !next && next.error().code != ErrorCode::kNotFound) first = std::move(next);
}

void remove_entries(FileSystem& files, const std::string& folder, std::vector<RemoveStep>& steps,
                    Status& first) {
  auto entries = files.list(folder);
  if (!entries) return keep_first(first, fail(std::move(entries).error()));
  for (const FolderEntry& entry : *entries) {
    std::string path = join_path(folder, entry.name);
    if (entry.stat.kind == FileKind::kFolder)
      steps.push_back({std::move(path), false});
    else
      keep_first(first, files.remove(path));
  }
}

}  // namespace

Result<std::unique_ptr<FileLock>> FileSystem::lock(const std::string& path, LockMode, bool) {
  Error error(ErrorCode::kUnsupported, "this file system has no locks");
  return fail(std::move(error).at_path(path));
}

Result<std::unique_ptr<WriteFile>> FileSystem::open_write(const std::string& path) {
  Error error(ErrorCode::kUnsupported, "this file system cannot go on writing a file");
  return fail(std::move(error).at_path(path));
}

Status FileSystem::exchange(const std::string& a, const std::string& b) {
  Error error(ErrorCode::kUnsupported, "this file system cannot swap \"" + b + "\" with another");
  return fail(std::move(error).at_path(a));
}

Result<std::unique_ptr<ReadFile>> FileSystem::open_read_beneath(const std::string& root,
                                                                const std::string& name) {
  for (std::size_t slash = 0; slash != std::string::npos;) {
    slash = name.find('/', slash + 1);
    const std::string path = join_path(root, std::string_view(name).substr(0, slash));
    KILTER_ASSIGN(const FileStat info, stat(path, false));
    if (info.kind != FileKind::kSymlink) continue;
    Error error(ErrorCode::kUnsafe, "the name leads through a symlink");
    return fail(std::move(error).at_path(path));
  }
  return open_read(join_path(root, name));
}

Result<std::string> read_text(FileSystem& files, const std::string& path, std::uint64_t bytes_max) {
  KILTER_ASSIGN(const auto file, files.open_read(path));
  if (file->bytes() > bytes_max) {
    Error error(ErrorCode::kLimitExceeded, "the file is too large to be read as text");
    return fail(
        std::move(error).at_path(path).wanted("at most " + std::to_string(bytes_max) + " bytes",
                                              std::to_string(file->bytes()) + " bytes"));
  }
  std::string text(static_cast<std::size_t>(file->bytes()), '\0');
  KILTER_TRY(file->read_at(0, std::as_writable_bytes(std::span(text))));
  return text;
}

Status remove_tree(FileSystem& files, const std::string& path) {
  // Elsewhere "" is the current folder; here it is far likelier a path that was never filled in.
  if (path.empty()) return fail(Error(ErrorCode::kInvalidArgument, "no path to remove was given"));
  KILTER_ASSIGN(const FileStat info, files.stat(path, false));
  if (info.kind != FileKind::kFolder) return files.remove(path);
  Status first;
  std::vector<RemoveStep> steps{{path, false}};
  while (!steps.empty()) {
    RemoveStep& top = steps.back();
    if (top.listed) {
      keep_first(first, files.remove(top.path));
      steps.pop_back();
      continue;
    }
    top.listed = true;
    remove_entries(files, std::string(top.path), steps, first);
  }
  return first;
}

std::string join_path(std::string_view folder, std::string_view name) {
  std::string path(folder);
  if (!path.empty() && path.back() != '/') path += '/';
  return path.append(name);
}

std::string parent_path(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return {};
  const std::size_t end = path.find_last_not_of('/', slash);
  return end == std::string_view::npos ? "/" : std::string(path.substr(0, end + 1));
}

std::string last_part(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const std::size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

}  // namespace kilter::io
