// Memory that what is not yet written is copied into when training goes on.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <thread>

#include "kilter/error.h"

#include "flow/fresh_memory.h"

namespace kilter::train {

/// One run of pages, made present once and used again by every save: copying into memory that was
/// never touched takes several times as long. Given out from its beginning; all of it comes back at
/// once.
class StagingPool {
 public:
  ~StagingPool() { stop(); }

  /// Holds at least `bytes` afterwards. Nothing of it may be in use. Pages are made present on a
  /// thread of its own. Errors: kLimitExceeded if the system refuses.
  Status grow(std::uint64_t bytes);
  /// Waits until all pages are present.
  void settle();

  std::uint64_t bytes() const { return memory_.span().size(); }
  /// Empty where there is not so much left. From any thread.
  std::span<std::byte> take(std::uint64_t bytes);
  /// Everything is free again.
  void reset() { used_ = 0; }
  std::uint64_t used_bytes() const { return std::min<std::uint64_t>(used_, bytes()); }

 private:
  void stop();

  flow::FreshMemory memory_;
  std::atomic<std::uint64_t> used_{0};
  std::thread toucher_;
  std::atomic<bool> stop_{false};
};

}  // namespace kilter::train
