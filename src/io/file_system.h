// Files as Kilter sees them. Three kinds of file system share this interface and one conformance
// suite: the real one, one in memory, and one that injects faults into another.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kilter/error.h"

#include "base/byte_reader.h"

namespace kilter::io {

enum class FileKind : std::uint8_t { kFile, kFolder, kSymlink, kOther };

struct FileStat {
  FileKind kind = FileKind::kFile;
  std::uint64_t bytes = 0;
  std::uint64_t allocated_bytes = 0;  ///< on disk; less than `bytes` for sparse files
  /// What changes when the file does; all zero where the file system does not know.
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::int64_t modified_unix_ns = 0;
  std::int64_t changed_unix_ns = 0;
};

struct FolderEntry {
  std::string name;  ///< one path part
  FileStat stat;     ///< of the entry itself: symlinks are not followed
};

/// A file open for reading. All calls may come from several threads.
class ReadFile {
 public:
  virtual ~ReadFile() = default;
  virtual const std::string& path() const = 0;
  virtual std::uint64_t bytes() const = 0;  ///< when it was opened
  /// Fills `out` from `offset_bytes`. Errors: kOutOfRange past the end as opened; kIo, also when
  /// the file became shorter meanwhile.
  virtual Status read_at(std::uint64_t offset_bytes, std::span<std::byte> out) const = 0;
  /// Descriptors for IoQueue; -1 where there is none. `direct_fd` is open with O_DIRECT, or -1.
  virtual int fd() const { return -1; }
  virtual int direct_fd() const { return -1; }
};

/// A file being written. Calls for disjoint ranges may come from several threads.
class WriteFile {
 public:
  virtual ~WriteFile() = default;
  virtual const std::string& path() const = 0;
  virtual Status write_at(std::uint64_t offset_bytes, Bytes bytes) = 0;
  /// Reserves room for `total_bytes` where the file system can, and makes the file at least that
  /// long (writes that do not move its end run in parallel): truncate() to the true size if fewer
  /// bytes come. kNoSpace if there is not enough.
  virtual Status reserve(std::uint64_t total_bytes) = 0;
  virtual Status truncate(std::uint64_t total_bytes) = 0;
  virtual Status sync() = 0;  ///< data and size are durable afterwards
  virtual int fd() const { return -1; }
  virtual int direct_fd() const { return -1; }
};

enum class Replace : std::uint8_t { kRefuse, kAllow };

enum class LockMode : std::uint8_t { kShared, kExclusive };

/// Held until destroyed, or until the process dies.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  /// Follows symlinks, as open(2) does. Errors: kNotFound, kPermission, kIo,
  /// kInvalidArgument for a folder.
  virtual Result<std::unique_ptr<ReadFile>> open_read(const std::string& path) = 0;
  /// Creates a new file; kAlreadyExists if the name is taken.
  virtual Result<std::unique_ptr<WriteFile>> create(const std::string& path) = 0;
  /// Opens a file that is there, to write on in it. A symlink is not followed. Errors: kNotFound,
  /// kInvalidArgument for what is no file, kUnsupported where the file system cannot.
  virtual Result<std::unique_ptr<WriteFile>> open_write(const std::string& path);
  virtual Result<FileStat> stat(const std::string& path, bool follow_symlinks = true) = 0;
  virtual Result<std::vector<FolderEntry>> list(const std::string& path) = 0;  ///< sorted by name
  virtual Status make_folder(const std::string& path) = 0;
  virtual Status remove(const std::string& path) = 0;  ///< a file or an empty folder
  /// Atomic. With kRefuse an existing target is kAlreadyExists; kAllow replaces a file, or swaps
  /// and then removes a folder.
  virtual Status rename(const std::string& from, const std::string& to, Replace replace) = 0;
  virtual Status sync_folder(const std::string& path) = 0;
  virtual Result<std::uint64_t> free_bytes(const std::string& path) = 0;

  /// Locks the file `path` against other holders, in this process and others; makes it if it is
  /// missing. The lock says nothing to those who do not ask for it. Null where another holds it
  /// and `wait` is false. The file may be removed by whoever holds it exclusively.
  /// Errors: kUnsupported where the file system has no locks.
  virtual Result<std::unique_ptr<FileLock>> lock(const std::string& path, LockMode mode, bool wait);
  /// Swaps two existing names atomically; nothing is removed. kUnsupported where the file system
  /// cannot.
  virtual Status exchange(const std::string& a, const std::string& b);
  /// What open_beneath() in safe_path.h calls once the name is checked. This one refuses every
  /// symlink below the root; the real and the memory file system follow those that stay inside.
  virtual Result<std::unique_ptr<ReadFile>> open_read_beneath(const std::string& root,
                                                              const std::string& name);
};

/// The real file system. One object for the process.
FileSystem& real_file_system();

/// Whole small file into memory; kLimitExceeded above `bytes_max`.
Result<std::string> read_text(FileSystem& files, const std::string& path, std::uint64_t bytes_max);

/// Removes a folder and all below it (or a single file) without following symlinks. Goes on after
/// an error and returns the first. Errors: kInvalidArgument for an empty path.
Status remove_tree(FileSystem& files, const std::string& path);

/// "folder/name"; `name` alone if `folder` is empty.
std::string join_path(std::string_view folder, std::string_view name);
/// What stands before the last part: "" for "x", "/" for "/x". Trailing slashes do not count.
std::string parent_path(std::string_view path);
/// The last part: "x" for "a/x" and "a/x/".
std::string last_part(std::string_view path);

}  // namespace kilter::io
