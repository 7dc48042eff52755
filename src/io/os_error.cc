#include "io/os_error.h"

#include <sys/statvfs.h>

#include <cerrno>
#include <system_error>

#include "base/text.h"

namespace kilter::io {
namespace {

ErrorCode code_of(int error_number) {
  switch (error_number) {
    case ENOENT:
      return ErrorCode::kNotFound;
    case EACCES:
    case EPERM:
    case EROFS:
    case ETXTBSY:
      return ErrorCode::kPermission;
    case EEXIST:
      return ErrorCode::kAlreadyExists;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return ErrorCode::kNoSpace;
    case EISDIR:
    case ENOTDIR:
    case ENOTEMPTY:
    case EINVAL:
    case ENAMETOOLONG:
    case ELOOP:
    case ENXIO:
    case EXDEV:
    case EBUSY:
      return ErrorCode::kInvalidArgument;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return ErrorCode::kLimitExceeded;
    default:
      return ErrorCode::kIo;
  }
}

std::string hint_of(int error_number) {
  switch (error_number) {
    case EISDIR:
      return "name a file, not a folder";
    case ENOTDIR:
      return "a part of the path is a file, not a folder";
    case EMFILE:
      return "raise the limit of open files (ulimit -n)";
    default:
      return {};
  }
}

}  // namespace

Error os_error(int error_number, std::string_view action, std::string_view path) {
  // std::generic_category is thread-safe; strerror is not.
  const std::string reason = std::generic_category().message(error_number);
  Error error(code_of(error_number), "cannot " + std::string(action) + ": " + reason);
  error.path = path;
  error.hint = hint_of(error_number);
  return error;
}

Error no_space_error(std::string_view action, std::string_view path, std::uint64_t needed_bytes,
                     std::uint64_t free_bytes) {
  const std::string reason = std::generic_category().message(ENOSPC);
  Error error(ErrorCode::kNoSpace, "cannot " + std::string(action) + ": " + reason + ": " +
                                       std::to_string(needed_bytes) + " bytes (" +
                                       format_bytes(needed_bytes) + ") needed, " +
                                       std::to_string(free_bytes) + " bytes (" +
                                       format_bytes(free_bytes) + ") free");
  error.path = path;
  return error;
}

Error out_of_range(std::string_view path, std::uint64_t offset_bytes, std::uint64_t count_bytes,
                   std::uint64_t file_bytes) {
  Error error(ErrorCode::kOutOfRange, "read past the end of the file");
  return std::move(error)
      .at_path(path)
      .at_offset(offset_bytes)
      .wanted(std::to_string(count_bytes) + " bytes at " + std::to_string(offset_bytes),
              "a file of " + std::to_string(file_bytes) + " bytes");
}

Error became_shorter(std::string_view path, std::uint64_t offset_bytes) {
  Error error(ErrorCode::kIo, "the file became shorter while it was read");
  return std::move(error).at_path(path).at_offset(offset_bytes);
}

Error write_error(int error_number, std::string_view action, std::string_view path, int fd,
                  std::uint64_t needed_bytes) {
  struct statvfs info{};
  if (error_number != ENOSPC || ::fstatvfs(fd, &info) != 0)
    return os_error(error_number, action, path);
  const std::uint64_t free = std::uint64_t{info.f_bavail} * info.f_frsize;
  return no_space_error(action, path, needed_bytes, free);
}

}  // namespace kilter::io
