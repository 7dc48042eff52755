// The operating system's files.
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/try.h"
#include "io/beneath.h"
#include "io/file_system.h"
#include "io/os_error.h"
#include "io/real_file.h"

namespace kilter::io {
namespace {

constexpr int kFolderFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

/// Refuses what a C string would cut short.
Status check_path(const std::string& path) {
  if (path.find('\0') == std::string::npos) return ok();
  Error error(ErrorCode::kInvalidArgument, "the path contains a NUL byte");
  return fail(std::move(error).at_path(path));
}

/// The current folder has no name of its own in "a", parent "".
const char* folder_name(const std::string& path) { return path.empty() ? "." : path.c_str(); }

std::int64_t nanoseconds(const timespec& time) {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

FileStat to_stat(const struct stat& info) {
  FileStat out;
  out.bytes = static_cast<std::uint64_t>(std::max<off_t>(info.st_size, 0));
  out.allocated_bytes = static_cast<std::uint64_t>(info.st_blocks) * 512;
  if (S_ISREG(info.st_mode))
    out.kind = FileKind::kFile;
  else if (S_ISDIR(info.st_mode))
    out.kind = FileKind::kFolder;
  else if (S_ISLNK(info.st_mode))
    out.kind = FileKind::kSymlink;
  else
    out.kind = FileKind::kOther;
  out.device = info.st_dev;
  out.inode = info.st_ino;
  out.modified_unix_ns = nanoseconds(info.st_mtim);
  out.changed_unix_ns = nanoseconds(info.st_ctim);
  return out;
}

class FolderStream {
 public:
  explicit FolderStream(DIR* folder) : folder_(folder) {}
  FolderStream(const FolderStream&) = delete;
  FolderStream& operator=(const FolderStream&) = delete;
  ~FolderStream() { ::closedir(folder_); }
  DIR* get() const { return folder_; }

 private:
  DIR* folder_;
};

/// Flags of renameat2 that this file system or kernel does not know.
bool flags_refused(int number) { return number == EINVAL || number == ENOSYS; }

class RealFileSystem : public FileSystem {
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

 private:
  Status rename_new(const std::string& from, const std::string& to);
  Status replace_folder(const std::string& from, const std::string& to);
};

Result<std::unique_ptr<ReadFile>> RealFileSystem::open_read(const std::string& path) {
  KILTER_TRY(check_path(path));
  UniqueFd fd(::open(path.c_str(), read_open_flags()));
  if (!fd) return fail(os_error(errno, "open", path));
  return RealReadFile::adopt(std::move(fd), path);
}

Result<std::unique_ptr<WriteFile>> RealFileSystem::create(const std::string& path) {
  KILTER_TRY(check_path(path));
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0666));
  if (!fd) return fail(os_error(errno, "create", path));
  return std::make_unique<RealWriteFile>(std::move(fd), path);
}

Result<std::unique_ptr<WriteFile>> RealFileSystem::open_write(const std::string& path) {
  KILTER_TRY(check_path(path));
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) return fail(os_error(errno, "open for writing", path));
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return fail(os_error(errno, "look up", path));
  if (!S_ISREG(info.st_mode))
    return fail(Error(ErrorCode::kInvalidArgument, "not a regular file").at_path(path));
  return std::make_unique<RealWriteFile>(std::move(fd), path);
}

Result<FileStat> RealFileSystem::stat(const std::string& path, bool follow_symlinks) {
  KILTER_TRY(check_path(path));
  struct stat info{};
  const int flags = follow_symlinks ? 0 : AT_SYMLINK_NOFOLLOW;
  if (::fstatat(AT_FDCWD, folder_name(path), &info, flags) != 0)
    return fail(os_error(errno, "look up", path));
  return to_stat(info);
}

Result<std::vector<FolderEntry>> RealFileSystem::list(const std::string& path) {
  KILTER_TRY(check_path(path));
  DIR* folder = ::opendir(folder_name(path));
  if (folder == nullptr) return fail(os_error(errno, "list the folder", path));
  const FolderStream stream(folder);
  std::vector<FolderEntry> entries;
  while (true) {
    errno = 0;
    const dirent* found = ::readdir(stream.get());
    if (found == nullptr) break;
    const std::string_view name = static_cast<const char*>(found->d_name);
    if (name == "." || name == "..") continue;
    struct stat info{};
    const int looked = ::fstatat(::dirfd(stream.get()), found->d_name, &info, AT_SYMLINK_NOFOLLOW);
    if (looked != 0 && errno == ENOENT) continue;  // gone meanwhile
    if (looked != 0) return fail(os_error(errno, "look up", join_path(path, name)));
    entries.push_back({std::string(name), to_stat(info)});
  }
  if (errno != 0) return fail(os_error(errno, "list the folder", path));
  std::ranges::sort(entries, {}, &FolderEntry::name);
  return entries;
}

Status RealFileSystem::make_folder(const std::string& path) {
  KILTER_TRY(check_path(path));
  if (::mkdir(path.c_str(), 0777) == 0) return ok();
  return fail(os_error(errno, "make the folder", path));
}

Status RealFileSystem::remove(const std::string& path) {
  KILTER_TRY(check_path(path));
  if (::unlink(path.c_str()) == 0) return ok();
  int number = errno;
  if (number == EISDIR || number == EPERM) {
    if (::rmdir(path.c_str()) == 0) return ok();
    if (errno != ENOTDIR) number = errno;
  }
  return fail(os_error(number, "remove", path));
}

Status RealFileSystem::rename_new(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return ok();
  if (!flags_refused(errno)) return fail(os_error(errno, "rename to \"" + to + "\"", from));
  // A file can be linked to its new name, which never replaces. A folder cannot: the look-up
  // before its rename leaves a gap that only file systems without RENAME_NOREPLACE have.
  if (::link(from.c_str(), to.c_str()) == 0) {
    if (::unlink(from.c_str()) == 0) return ok();
    const int number = errno;
    ::unlink(to.c_str());
    return fail(os_error(number, "remove", from));
  }
  struct stat info{};
  if (errno == EEXIST || ::lstat(to.c_str(), &info) == 0)
    return fail(os_error(EEXIST, "rename to \"" + to + "\"", from));
  if (::rename(from.c_str(), to.c_str()) == 0) return ok();
  return fail(os_error(errno, "rename to \"" + to + "\"", from));
}

/// Swaps, makes the swap durable, and only then removes the old folder: a crash in between
/// leaves one of them whole under the target's name.
Status RealFileSystem::replace_folder(const std::string& from, const std::string& to) {
  KILTER_TRY(exchange(from, to));
  Status synced = sync_folder(parent_path(to));
  if (synced && parent_path(from) != parent_path(to)) synced = sync_folder(parent_path(from));
  if (!synced) {
    static_cast<void>(exchange(from, to));
    return synced;
  }
  return remove_tree(*this, from);
}

Status RealFileSystem::rename(const std::string& from, const std::string& to, Replace replace) {
  KILTER_TRY(check_path(from));
  KILTER_TRY(check_path(to));
  if (replace == Replace::kRefuse) return rename_new(from, to);
  KILTER_ASSIGN(const FileStat source, stat(from, false));
  const auto target = stat(to, false);
  if (target && source.kind == FileKind::kFolder) {
    if (target->kind != FileKind::kFolder)
      return fail(os_error(ENOTDIR, "replace \"" + to + "\" by a folder", from));
    return replace_folder(from, to);
  }
  if (::rename(from.c_str(), to.c_str()) == 0) return ok();
  return fail(os_error(errno, "rename to \"" + to + "\"", from));
}

/// A file that flock(2) holds. Closing the descriptor would not let go as long as a process that
/// was forked meanwhile has it too, and such a process must not let go of what is not its own.
class RealFileLock : public FileLock {
 public:
  explicit RealFileLock(UniqueFd fd) : fd_(std::move(fd)) {}
  ~RealFileLock() override {
    if (::getpid() == owner_) ::flock(fd_.get(), LOCK_UN);
  }

 private:
  UniqueFd fd_;
  pid_t owner_ = ::getpid();
};

/// True if `path` still names the file behind `fd`: its last holder may have removed it.
bool still_named(int fd, const std::string& path) {
  struct stat held{};
  struct stat named{};
  return ::fstat(fd, &held) == 0 && ::stat(path.c_str(), &named) == 0 &&
         held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

Result<std::unique_ptr<FileLock>> RealFileSystem::lock(const std::string& path, LockMode mode,
                                                       bool wait) {
  KILTER_TRY(check_path(path));
  const int how = (mode == LockMode::kShared ? LOCK_SH : LOCK_EX) | (wait ? 0 : LOCK_NB);
  while (true) {
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666));
    const int refused = errno;
    if (!fd && (refused == EACCES || refused == EROFS || refused == EPERM)) {
      fd = UniqueFd(::open(path.c_str(), read_open_flags()));
      // What is not there yet cannot be made: that is what to say.
      if (!fd && errno == ENOENT) errno = refused;
    }
    if (!fd) return fail(os_error(errno, "open the lock", path));
    int result = -1;
    do {
      result = ::flock(fd.get(), how);
    } while (result != 0 && errno == EINTR);
    if (result != 0 && errno == EWOULDBLOCK) return std::unique_ptr<FileLock>();
    if (result != 0) return fail(os_error(errno, "lock", path));
    if (still_named(fd.get(), path)) return std::make_unique<RealFileLock>(std::move(fd));
  }
}

Status RealFileSystem::exchange(const std::string& a, const std::string& b) {
  KILTER_TRY(check_path(a));
  KILTER_TRY(check_path(b));
  if (::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0) return ok();
  if (flags_refused(errno)) return FileSystem::exchange(a, b);
  return fail(os_error(errno, "swap with \"" + b + "\"", a));
}

Status RealFileSystem::sync_folder(const std::string& path) {
  KILTER_TRY(check_path(path));
  const UniqueFd fd(::open(folder_name(path), kFolderFlags));
  if (!fd) return fail(os_error(errno, "open the folder", path));
  if (::fsync(fd.get()) == 0) return ok();
  // Some network and FUSE file systems have no fsync for folders; there is nothing else to ask.
  if (errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP) return ok();
  return fail(os_error(errno, "make the folder durable", path));
}

Result<std::uint64_t> RealFileSystem::free_bytes(const std::string& path) {
  KILTER_TRY(check_path(path));
  struct statvfs info{};
  if (::statvfs(folder_name(path), &info) != 0)
    return fail(os_error(errno, "ask for free space", path));
  return std::uint64_t{info.f_bavail} * info.f_frsize;
}

Result<std::unique_ptr<ReadFile>> RealFileSystem::open_read_beneath(const std::string& root,
                                                                    const std::string& name) {
  KILTER_TRY(check_path(root));
  KILTER_TRY(check_path(name));
  const UniqueFd folder(::open(folder_name(root), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return fail(os_error(errno, "open the folder", root));
  BeneathResult found = open_beneath_kernel(folder.get(), name, read_open_flags());
  const int refused = found.error_number;
  if (refused == ENOSYS || refused == EPERM || refused == EINVAL || refused == EAGAIN)
    found = open_beneath_walk(folder.get(), name, read_open_flags());
  const std::string path = join_path(root, name);
  if (found.fd) return RealReadFile::adopt(std::move(found.fd), path);
  if (found.error_number != EXDEV && found.error_number != ELOOP)
    return fail(os_error(found.error_number, "open", path));
  Error error(ErrorCode::kUnsafe, found.error_number == EXDEV
                                      ? "the name leads out of its folder through a symlink"
                                      : "the name leads through too many symlinks");
  return fail(std::move(error).at_path(path));
}

}  // namespace

FileSystem& real_file_system() {
  static RealFileSystem files;
  return files;
}

}  // namespace kilter::io
