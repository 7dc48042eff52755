// Memory of chunks that were written, for those that come after them.
#pragma once

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "base/raw_bytes.h"

namespace kilter::store {

/// Memory from the system is cleared page by page when it is first touched, which takes as long as
/// copying a chunk. Safe to use from several threads.
class SpareBytes {
 public:
  /// `size` indeterminate bytes.
  RawBytes take(std::size_t size) {
    RawBytes out;
    {
      const std::lock_guard guard(mutex_);
      const auto fits = std::ranges::find_if(kept_, [size](const RawBytes& bytes) {
        return bytes.capacity() >= size && bytes.capacity() / 2 <= size;
      });
      if (fits != kept_.end()) {
        out = std::move(*fits);
        kept_.erase(fits);
      }
    }
    out.resize(size);
    return out;
  }
  /// Small ones are left to the allocator, and so are more than a few.
  void give(RawBytes bytes) {
    const std::lock_guard guard(mutex_);
    if (bytes.capacity() >= kSmallestBytes && kept_.size() < kCountMax)
      kept_.push_back(std::move(bytes));
  }

 private:
  static constexpr std::size_t kSmallestBytes = 256 << 10, kCountMax = 8;
  std::mutex mutex_;
  std::vector<RawBytes> kept_;
};

}  // namespace kilter::store
