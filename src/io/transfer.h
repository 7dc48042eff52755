// Continues what read(2) and write(2) leave undone.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>

namespace kilter::io {

/// How far a transfer came. `error_number` is 0 if nothing failed; `moved_bytes` below what was
/// asked then means that the file ended.
struct TransferEnd {
  std::size_t moved_bytes = 0;
  int error_number = 0;
};

/// Linux moves at most 0x7ffff000 bytes a call; a power of two keeps direct I/O aligned.
inline constexpr std::size_t kTransferBytesMax = std::size_t{1} << 30;

/// Calls `step(moved_bytes, count_bytes)` until all `total_bytes` moved, it returns 0, or it fails
/// with errno set. EINTR is retried.
template <typename Step>
TransferEnd transfer_all(std::size_t total_bytes, Step step) {
  std::size_t moved = 0;
  while (moved < total_bytes) {
    const ssize_t count = step(moved, std::min(total_bytes - moved, kTransferBytesMax));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return {moved, errno};
    if (count == 0) break;
    moved += static_cast<std::size_t>(count);
  }
  return {moved, 0};
}

}  // namespace kilter::io
