#include "base/raw_bytes.h"

#include <sys/mman.h>

namespace kilter {
namespace {

constexpr std::size_t kHugePageBytes = 2ULL << 20;

std::align_val_t alignment(std::size_t bytes) {
  return std::align_val_t{bytes >= kHugePageBytes ? kHugePageBytes : kRawAlignBytes};
}

}  // namespace

void* take_large_memory(std::size_t bytes) {
  void* const at = ::operator new(bytes, alignment(bytes));
  // Whole huge pages only: what follows belongs to others. Whether it is granted matters not.
  if (bytes >= kHugePageBytes) ::madvise(at, bytes - bytes % kHugePageBytes, MADV_HUGEPAGE);
  return at;
}

void give_large_memory(void* at, std::size_t bytes) noexcept {
  ::operator delete(at, alignment(bytes));
}

}  // namespace kilter
