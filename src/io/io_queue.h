// Many reads and writes in flight: io_uring, or threads where the kernel refuses it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "io/file_system.h"

namespace kilter::io {

enum class IoQueueKind : std::uint8_t { kAuto, kUring, kThreads };

/// One transfer. Short transfers are continued inside; `done` sees the whole or an error.
/// `direct` asks for O_DIRECT: offset, size and address must then be multiples of
/// kDirectAlignBytes (a read's last block may end at the end of the file: it asks for the rounded
/// size, and `done` is ok once the file's bytes have come). Falls back to the plain descriptor
/// where there is no direct one.
struct IoRead {
  const ReadFile* file = nullptr;
  std::uint64_t offset_bytes = 0;
  std::span<std::byte> out;
  bool direct = false;
  std::function<void(Status)> done;
};
struct IoWrite {
  WriteFile* file = nullptr;
  std::uint64_t offset_bytes = 0;
  Bytes bytes;
  bool direct = false;
  std::function<void(Status)> done;
};

/// `done` runs on a thread of the queue: keep it short. submit() may come from any thread and
/// waits while `depth` transfers are in flight.
class IoQueue {
 public:
  virtual ~IoQueue() = default;  ///< waits for what is in flight
  virtual void submit(IoRead read) = 0;
  virtual void submit(IoWrite write) = 0;
  virtual void wait_idle() = 0;
  virtual IoQueueKind kind() const = 0;
};

/// kAuto tries io_uring and falls back to threads. KILTER_IO=threads|uring overrides.
/// Never fails for kAuto and kThreads; kUnsupported for kUring where the kernel refuses.
Result<std::unique_ptr<IoQueue>> make_io_queue(IoQueueKind kind, unsigned depth);

}  // namespace kilter::io
