// What the two kinds of queue share: a transfer's progress, and counting what is in flight.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>

#include "io/io_queue.h"

namespace kilter::io {

/// One read or write on its way. Pure bookkeeping: whoever moves the bytes reports each step.
class Transfer {
 public:
  explicit Transfer(IoRead read);
  explicit Transfer(IoWrite write);

  enum class Next : std::uint8_t { kStep, kBlocking, kDone };

  /// What the system must be asked for next, given by fd(), data(), count_bytes(), offset_bytes().
  bool is_read() const { return read_file_ != nullptr; }
  bool has_fd() const { return plain_fd_ >= 0; }
  int fd() const { return direct_ ? direct_fd_ : plain_fd_; }
  std::byte* data() const { return data_ + moved_bytes_; }
  std::uint32_t count_bytes() const;
  std::uint64_t offset_bytes() const { return offset_bytes_ + moved_bytes_; }

  /// Takes the outcome of a step: bytes moved, 0 for the end of the file, or -errno.
  /// kStep: ask again; kBlocking: run_blocking() must finish it; kDone: finish().
  Next advance(std::int64_t result);
  /// Moves what is left in the calling thread, through the file's own calls.
  void run_blocking();
  /// True if there is nothing to move: the range is bad, or empty.
  bool done_already() const { return !status_ || moved_bytes_ >= needed_bytes_; }
  /// Tells the owner. Call once, last.
  void finish();

 private:
  void check_read_range();
  void fail_with(int error_number);
  bool aligned() const;

  const ReadFile* read_file_ = nullptr;
  WriteFile* write_file_ = nullptr;
  std::uint64_t offset_bytes_ = 0;
  std::byte* data_ = nullptr;
  std::uint64_t asked_bytes_ = 0;   // with the rounding of a direct read's last block
  std::uint64_t needed_bytes_ = 0;  // what makes it whole
  std::uint64_t moved_bytes_ = 0;
  int plain_fd_ = -1;
  int direct_fd_ = -1;
  bool direct_ = false;
  std::function<void(Status)> done_;
  Status status_;
};

/// Counts transfers. A slot is free before `done` runs, so that `done` may submit the next
/// transfer; idle means that every `done` has returned.
class FlightCounter {
 public:
  explicit FlightCounter(unsigned depth) : depth_(depth) {}
  /// Waits for a slot, except on a thread of a queue, which must never wait for itself.
  void enter(bool on_queue_thread);
  void leave_slot();
  void finish();
  void wait_idle();
  bool idle() const;

 private:
  mutable std::mutex mutex_;
  std::condition_variable slot_, idle_;
  unsigned depth_;
  std::uint64_t in_flight_ = 0;
  std::uint64_t unfinished_ = 0;
};

std::unique_ptr<IoQueue> make_thread_queue(unsigned depth);
/// How long transfers may stand still before the kernel is asked to give them back.
inline constexpr std::chrono::milliseconds kUringPatience{2000};
/// kUnsupported with the kernel's reason where it refuses.
Result<std::unique_ptr<IoQueue>> make_uring_queue(
    unsigned depth, std::chrono::milliseconds patience = kUringPatience);

}  // namespace kilter::io
