#include "io/mapped_file.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/checked.h"
#include "io/os_error.h"

namespace kilter::io {
namespace {

int to_madvise(MapAdvice advice) {
  switch (advice) {
    case MapAdvice::kSequential:
      return MADV_SEQUENTIAL;
    case MapAdvice::kRandom:
      return MADV_RANDOM;
    case MapAdvice::kWillNeed:
      return MADV_WILLNEED;
    case MapAdvice::kPopulate:
      return MADV_POPULATE_READ;
    case MapAdvice::kDontNeed:
      return MADV_DONTNEED;
  }
  return MADV_NORMAL;
}

}  // namespace

MappedFile::MappedFile(MappedFile&& other) noexcept
    : mapping_(std::exchange(other.mapping_, nullptr)),
      mapping_bytes_(std::exchange(other.mapping_bytes_, 0)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(mapping_, other.mapping_);
  std::swap(mapping_bytes_, other.mapping_bytes_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  if (mapping_ != nullptr) ::munmap(mapping_, mapping_bytes_);
}

Result<MappedFile> MappedFile::map(const ReadFile& file) { return map(file, 0, file.bytes()); }

Result<MappedFile> MappedFile::map(const ReadFile& file, std::uint64_t offset_bytes,
                                   std::uint64_t count_bytes) {
  return map(file, offset_bytes, count_bytes, PROT_READ, MAP_SHARED);
}

Result<MappedFile> MappedFile::map_private(const ReadFile& file) {
  return map(file, 0, file.bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE);
}

Result<MappedFile> MappedFile::map(const ReadFile& file, std::uint64_t offset_bytes,
                                   std::uint64_t count_bytes, int protection, int flags) {
  if (!range_fits(offset_bytes, count_bytes, file.bytes()))
    return fail(out_of_range(file.path(), offset_bytes, count_bytes, file.bytes()));
  if (file.fd() < 0) {
    Error error(ErrorCode::kUnsupported, "the file has no descriptor to map");
    return fail(std::move(error).at_path(file.path()));
  }
  MappedFile mapped;
  if (count_bytes == 0) return mapped;
  const std::uint64_t lead = offset_bytes % page_bytes();
  // Whole pages, as the kernel maps them: of a part of a page ThreadSanitizer would remember the
  // mapping when another has its address.
  mapped.mapping_bytes_ = round_up(count_bytes + lead, page_bytes());
  void* found = ::mmap(nullptr, mapped.mapping_bytes_, protection, flags, file.fd(),
                       static_cast<off_t>(offset_bytes - lead));
  if (found == MAP_FAILED) return fail(os_error(errno, "map into memory", file.path()));
  mapped.mapping_ = found;
  mapped.data_ = static_cast<const std::byte*>(found) + lead;
  mapped.bytes_ = count_bytes;
  return mapped;
}

void MappedFile::advise(MapAdvice advice, std::uint64_t offset_bytes,
                        std::uint64_t count_bytes) const {
  if (offset_bytes >= bytes_) return;
  count_bytes = std::min<std::uint64_t>(count_bytes, bytes_ - offset_bytes);
  auto* begin = const_cast<std::byte*>(data_) + offset_bytes;
  const std::size_t lead = reinterpret_cast<std::uintptr_t>(begin) % page_bytes();
  const int result = ::madvise(begin - lead, count_bytes + lead, to_madvise(advice));
  if (result != 0 && advice == MapAdvice::kPopulate)
    ::madvise(begin - lead, count_bytes + lead, MADV_WILLNEED);
}

}  // namespace kilter::io
