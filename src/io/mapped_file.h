// A file's bytes as memory, read-only.
#pragma once

#include <cstdint>

#include "io/file_system.h"
#include "io/page_cache.h"

namespace kilter::io {

enum class MapAdvice : std::uint8_t {
  kSequential,  ///< read ahead boldly, drop behind
  kRandom,      ///< no read-ahead
  kWillNeed,    ///< start reading now, without waiting
  kPopulate,    ///< read and map every page now; a hint where the kernel is older than 5.14
  kDontNeed,    ///< unmap the pages from this process; they may stay in the page cache
};

/// Unmaps itself. If the file is cut short by others while it is mapped, touching what is gone
/// raises SIGBUS, as with every mapping: use read_at() where the file is not trusted to stay.
class MappedFile {
 public:
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  /// The whole file; `file` may go before the mapping does. Errors: kUnsupported for a file
  /// without descriptor (read it instead); kLimitExceeded, kIo from the system.
  static Result<MappedFile> map(const ReadFile& file);
  /// A range; the mapping begins at the page below it.
  static Result<MappedFile> map(const ReadFile& file, std::uint64_t offset_bytes,
                                std::uint64_t count_bytes);
  /// The whole file, to be read and written by its user: what is written stays in this process
  /// (copied page by page) and never reaches the file. bytes() may be cast to plain std::byte.
  static Result<MappedFile> map_private(const ReadFile& file);

  Bytes bytes() const { return {data_, bytes_}; }
  /// A wish about the range of bytes(), clipped to it; what the kernel refuses is ignored.
  void advise(MapAdvice advice, std::uint64_t offset_bytes = 0,
              std::uint64_t count_bytes = ~std::uint64_t{0}) const;

 private:
  static Result<MappedFile> map(const ReadFile& file, std::uint64_t offset_bytes,
                                std::uint64_t count_bytes, int protection, int flags);
  void* mapping_ = nullptr;  // page-aligned
  std::size_t mapping_bytes_ = 0;
  const std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace kilter::io
