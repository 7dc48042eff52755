// Progress and cancellation of long work. Owned by the floor `base`.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "kilter/error.h"

namespace kilter {

/// Asked now and then by long work; set from any thread or a signal handler.
class CancelToken {
 public:
  void cancel() noexcept { cancelled_.store(true, std::memory_order_relaxed); }
  bool cancelled() const noexcept { return cancelled_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> cancelled_{false};
};

/// Receives progress. Calls come from one thread at a time, any thread.
/// Implementations must be quick and must not throw. The library never prints:
/// the command line installs a bar, plain lines or nothing.
class Progress {
 public:
  virtual ~Progress() = default;
  /// A phase begins: `verb` such as "convert", `total_bytes` 0 if unknown.
  virtual void begin(std::string_view verb, std::uint64_t total_bytes) = 0;
  /// `done_bytes` in total since begin(); never decreases within a phase.
  virtual void update(std::uint64_t done_bytes) = 0;
  /// The phase is over, in success or failure.
  virtual void end() = 0;
};

/// What every long call takes: nullptr members mean "none".
struct RunContext {
  Progress* progress = nullptr;
  const CancelToken* cancel = nullptr;
  /// kCancelled once the token is set, ok otherwise.
  Status check() const;
};

}  // namespace kilter
