#include "io/real_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <limits>

#include "base/checked.h"
#include "base/try.h"
#include "io/buffer_pool.h"
#include "io/os_error.h"
#include "io/transfer.h"

namespace kilter::io {
namespace {

constexpr std::uint64_t kFileBytesMax = std::numeric_limits<off_t>::max();

/// True unless the kernel states an alignment that our direct transfers would miss.
bool alignment_suits(int fd) {
#ifdef STATX_DIOALIGN
  struct statx info{};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &info) != 0) return true;
  if ((info.stx_mask & STATX_DIOALIGN) == 0) return true;
  return info.stx_dio_offset_align != 0 && info.stx_dio_offset_align <= kDirectAlignBytes &&
         info.stx_dio_mem_align <= kDirectAlignBytes;
#else
  static_cast<void>(fd);
  return true;
#endif
}

}  // namespace

int read_open_flags() { return O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK; }

int LazyDirectFd::get(int plain_fd, int access_flags) const {
  std::call_once(once_, [&] {
    if (!alignment_suits(plain_fd)) return;
    // Through /proc it is the same inode whatever its name is by now.
    const std::string self = "/proc/self/fd/" + std::to_string(plain_fd);
    fd_ = UniqueFd(::open(self.c_str(), access_flags | O_DIRECT | O_CLOEXEC));
  });
  return fd_.get();
}

Result<std::unique_ptr<ReadFile>> RealReadFile::adopt(UniqueFd fd, std::string path) {
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return fail(os_error(errno, "read the size", path));
  if (S_ISDIR(info.st_mode)) return fail(os_error(EISDIR, "open", path));
  if (!S_ISREG(info.st_mode)) {
    Error error(ErrorCode::kInvalidArgument, "cannot open: not a regular file");
    return fail(std::move(error).at_path(path));
  }
  // O_NONBLOCK was for FIFOs; io_uring would take it as a wish for EAGAIN.
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags >= 0) ::fcntl(fd.get(), F_SETFL, flags & ~O_NONBLOCK);
  const auto bytes = static_cast<std::uint64_t>(info.st_size);
  return std::make_unique<RealReadFile>(std::move(fd), std::move(path), bytes);
}

int RealReadFile::direct_fd() const { return direct_.get(fd_.get(), O_RDONLY); }

Status RealReadFile::read_at(std::uint64_t offset_bytes, std::span<std::byte> out) const {
  if (!range_fits(offset_bytes, out.size(), bytes_))
    return fail(out_of_range(path_, offset_bytes, out.size(), bytes_));
  const TransferEnd end = transfer_all(out.size(), [&](std::size_t moved, std::size_t count) {
    return ::pread(fd_.get(), out.data() + moved, count, static_cast<off_t>(offset_bytes + moved));
  });
  if (end.error_number != 0)
    return fail(os_error(end.error_number, "read", path_).at_offset(offset_bytes));
  if (end.moved_bytes < out.size()) return fail(became_shorter(path_, offset_bytes));
  return ok();
}

int RealWriteFile::direct_fd() const { return direct_.get(fd_.get(), O_WRONLY); }

Status RealWriteFile::write_at(std::uint64_t offset_bytes, Bytes bytes) {
  if (!range_fits(offset_bytes, bytes.size(), kFileBytesMax))
    return fail(os_error(EFBIG, "write", path_).at_offset(offset_bytes));
  const TransferEnd end = transfer_all(bytes.size(), [&](std::size_t moved, std::size_t count) {
    return ::pwrite(fd_.get(), bytes.data() + moved, count,
                    static_cast<off_t>(offset_bytes + moved));
  });
  if (end.moved_bytes == bytes.size()) return ok();
  const int number = end.error_number != 0 ? end.error_number : EIO;
  const std::uint64_t left_bytes = bytes.size() - end.moved_bytes;
  return fail(write_error(number, "write", path_, fd_.get(), left_bytes).at_offset(offset_bytes));
}

Status RealWriteFile::reserve(std::uint64_t total_bytes) {
  if (total_bytes > kFileBytesMax) return fail(os_error(EFBIG, "reserve room", path_));
  if (total_bytes == 0) return ok();
  KILTER_TRY(refuse_if_too_large(total_bytes));
  int result = -1;
  do {
    result = ::fallocate(fd_.get(), 0, 0, static_cast<off_t>(total_bytes));
  } while (result != 0 && errno == EINTR);
  if (result == 0) return ok();
  if (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)
    return fail(write_error(errno, "reserve room", path_, fd_.get(), total_bytes));
  return grow_to(total_bytes);
}

/// fallocate(2) may take all that is free before it says no, and whoever else writes meanwhile
/// meets a full disk. What cannot fit is refused before.
Status RealWriteFile::refuse_if_too_large(std::uint64_t total_bytes) {
  struct stat info{};
  if (::fstat(fd_.get(), &info) != 0) return fail(os_error(errno, "read the size", path_));
  struct statvfs disk{};
  if (::fstatvfs(fd_.get(), &disk) != 0) return ok();
  // Includes what is kept for root: whether this process may have it, fallocate(2) knows better.
  const std::uint64_t free = std::uint64_t{disk.f_bfree} * disk.f_frsize;
  const std::uint64_t own = std::uint64_t{512} * static_cast<std::uint64_t>(info.st_blocks);
  if (total_bytes <= free || total_bytes - free <= own) return ok();
  return fail(no_space_error("reserve room", path_, total_bytes, free));
}

/// Without fallocate(2) nothing can be set aside; only the size is set.
Status RealWriteFile::grow_to(std::uint64_t total_bytes) {
  struct stat info{};
  if (::fstat(fd_.get(), &info) != 0) return fail(os_error(errno, "read the size", path_));
  if (static_cast<std::uint64_t>(info.st_size) >= total_bytes) return ok();
  return truncate(total_bytes);
}

Status RealWriteFile::truncate(std::uint64_t total_bytes) {
  if (total_bytes > kFileBytesMax) return fail(os_error(EFBIG, "set the size", path_));
  int result = -1;
  do {
    result = ::ftruncate(fd_.get(), static_cast<off_t>(total_bytes));
  } while (result != 0 && errno == EINTR);
  if (result == 0) return ok();
  return fail(write_error(errno, "set the size", path_, fd_.get(), total_bytes));
}

Status RealWriteFile::sync() {
  int result = -1;
  do {
    result = ::fsync(fd_.get());
  } while (result != 0 && errno == EINTR);
  if (result == 0) return ok();
  return fail(write_error(errno, "make durable", path_, fd_.get(), 0));
}

}  // namespace kilter::io
