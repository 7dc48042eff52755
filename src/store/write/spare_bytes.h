// Memory of chunks that were written, for those that come after them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "base/raw_bytes.h"

namespace kilter::store {

/// Memory from the system is cleared page by page when it is first touched, which takes as long as
/// copying a chunk. Safe to use from several threads.
class SpareBytes {
 public:
  explicit SpareBytes(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}
  std::uint64_t bytes_max() const { return bytes_max_; }

  /// `size` indeterminate bytes.
  RawBytes take(std::size_t size) {
    RawBytes out;
    {
      const std::lock_guard guard(mutex_);
      // What came back last is the likeliest to be in a cache still.
      const auto fits =
          std::ranges::find_if(kept_.rbegin(), kept_.rend(), [size](const auto& bytes) {
            return bytes.capacity() >= size && bytes.capacity() / 2 <= size;
          });
      if (fits != kept_.rend()) {
        kept_bytes_ -= fits->capacity();
        out = std::move(*fits);
        kept_.erase(std::next(fits).base());
      }
    }
    out.resize(size);
    return out;
  }
  /// Small ones are left to the allocator, and so is what would be more than `bytes_max`.
  void give(RawBytes bytes) {
    const std::lock_guard guard(mutex_);
    if (bytes.capacity() < kSmallestBytes || kept_bytes_ + bytes.capacity() > bytes_max_) return;
    kept_bytes_ += bytes.capacity();
    kept_.push_back(std::move(bytes));
  }

 private:
  static constexpr std::size_t kSmallestBytes = 256 << 10;
  const std::uint64_t bytes_max_;
  std::mutex mutex_;
  std::uint64_t kept_bytes_ = 0;
  std::vector<RawBytes> kept_;
};

}  // namespace kilter::store
