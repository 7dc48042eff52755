#include "io/page_cache.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "io/mapped_file.h"
#include "io/os_error.h"

namespace kilter::io {
namespace {

constexpr std::uint64_t kWindowPages = 64;
constexpr std::uint64_t kWindowsMax = 256;
constexpr std::uint64_t kProbes = 64;

/// Since Linux 5.2 mincore tells the truth only to those who could write the file.
bool mincore_is_honest(int fd) {
  struct stat info{};
  if (::fstat(fd, &info) != 0) return false;
  const uid_t user = ::geteuid();
  if (user == 0 || info.st_uid == user) return true;
  return ::faccessat(fd, "", W_OK, AT_EMPTY_PATH | AT_EACCESS) == 0;
}

/// Counts resident pages in evenly spread windows of a mapping that is never touched.
double fraction_by_mincore(const MappedFile& mapped, std::uint64_t page) {
  const std::uint64_t pages = (mapped.bytes().size() + page - 1) / page;
  const std::uint64_t windows = std::min(kWindowsMax, (pages + kWindowPages - 1) / kWindowPages);
  auto* begin = const_cast<std::byte*>(mapped.bytes().data());
  std::array<unsigned char, kWindowPages> resident{};
  std::uint64_t seen = 0, found = 0;
  for (std::uint64_t i = 0; i < windows; ++i) {
    const std::uint64_t first = pages * i / windows;
    const std::uint64_t count = std::min({kWindowPages, pages - first});
    if (::mincore(begin + first * page, count * page, resident.data()) != 0) return 0;
    seen += count;
    found += static_cast<std::uint64_t>(
        std::count_if(resident.begin(), resident.begin() + static_cast<std::ptrdiff_t>(count),
                      [](unsigned char flags) { return (flags & 1U) != 0; }));
  }
  return static_cast<double>(found) / static_cast<double>(seen);
}

/// Reads single bytes that the kernel may only give from memory.
double fraction_by_probing(const ReadFile& file, std::uint64_t page) {
  const std::uint64_t pages = (file.bytes() + page - 1) / page;
  const std::uint64_t probes = std::min(kProbes, pages);
  std::uint64_t found = 0;
  for (std::uint64_t i = 0; i < probes; ++i) {
    char byte = 0;
    const iovec target{&byte, 1};
    const auto offset = static_cast<off_t>(pages * i / probes * page);
    if (::preadv2(file.fd(), &target, 1, offset, RWF_NOWAIT) == 1) ++found;
  }
  return static_cast<double>(found) / static_cast<double>(probes);
}

}  // namespace

std::uint64_t page_bytes() {
  static const auto bytes = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}

double cached_fraction(const ReadFile& file) {
  if (file.fd() < 0 || file.bytes() == 0) return 1;
  if (!mincore_is_honest(file.fd())) return fraction_by_probing(file, page_bytes());
  const auto mapped = MappedFile::map(file);
  return mapped ? fraction_by_mincore(*mapped, page_bytes()) : 0;
}

void read_ahead(const ReadFile& file, std::uint64_t offset_bytes, std::uint64_t count_bytes) {
  if (file.fd() < 0 || offset_bytes >= file.bytes()) return;
  const std::uint64_t count = std::min(count_bytes, file.bytes() - offset_bytes);
  ::posix_fadvise(file.fd(), static_cast<off_t>(offset_bytes), static_cast<off_t>(count),
                  POSIX_FADV_WILLNEED);
}

Status drop_page_cache(const ReadFile& file) {
  if (file.fd() < 0) {
    Error error(ErrorCode::kUnsupported, "the file has no descriptor");
    return fail(std::move(error).at_path(file.path()));
  }
  const int number = ::posix_fadvise(file.fd(), 0, 0, POSIX_FADV_DONTNEED);
  if (number == 0) return ok();
  return fail(os_error(number, "drop from the page cache", file.path()));
}

}  // namespace kilter::io
