#include "flow/fresh_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <fstream>
#include <limits>
#include <string>
#include <utility>

#include "base/text.h"

namespace kilter::flow {
namespace {

constexpr std::uint64_t kHugePageBytes = 2ULL << 20;
constexpr std::uintptr_t kPageBytes = 4096;

}  // namespace

FreshMemory::FreshMemory(FreshMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

FreshMemory& FreshMemory::operator=(FreshMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

FreshMemory::~FreshMemory() {
  if (data_ != nullptr) ::munmap(data_, bytes_);
}

Result<FreshMemory> FreshMemory::map(std::uint64_t bytes) {
  FreshMemory memory;
  if (bytes == 0) return memory;
  const auto refuse = [&] {
    return fail(ErrorCode::kLimitExceeded, "no memory for " + format_bytes(bytes));
  };
  if (bytes > std::numeric_limits<std::size_t>::max() / 4) return refuse();
  const std::size_t mapped = bytes + kHugePageBytes;
  void* raw = ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) return refuse();
  auto* begin = static_cast<std::byte*>(raw);
  const std::size_t past = reinterpret_cast<std::uintptr_t>(raw) % kHugePageBytes;
  const std::size_t lead = (kHugePageBytes - past) % kHugePageBytes;
  const std::size_t kept = (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
  if (lead != 0) ::munmap(begin, lead);
  if (mapped - lead > kept) ::munmap(begin + lead + kept, mapped - lead - kept);
  memory.data_ = begin + lead;
  memory.bytes_ = kept;
  if (kept >= kHugePageBytes) ::madvise(memory.data_, kept, MADV_HUGEPAGE);
  return memory;
}

void populate(std::span<std::byte> run) {
  const auto begin = reinterpret_cast<std::uintptr_t>(run.data()) / kPageBytes * kPageBytes;
  const auto end = reinterpret_cast<std::uintptr_t>(run.data()) + run.size();
#ifdef MADV_POPULATE_WRITE
  ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_POPULATE_WRITE);
#else
  static_cast<void>(begin), static_cast<void>(end);
#endif
}

std::uint64_t available_memory_bytes() {
  std::ifstream info("/proc/meminfo");
  for (std::string line; std::getline(info, line);) {
    if (!line.starts_with("MemAvailable:")) continue;
    std::uint64_t kib = 0;
    for (const char c : line)
      if (c >= '0' && c <= '9') kib = kib * 10 + static_cast<std::uint64_t>(c - '0');
    return kib * 1024;
  }
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  if (pages <= 0) return std::numeric_limits<std::uint64_t>::max();
  return static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(::sysconf(_SC_PAGE_SIZE));
}

}  // namespace kilter::flow
