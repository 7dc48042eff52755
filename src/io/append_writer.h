// Writes a file from its beginning to its end, several large writes in flight.
#pragma once

#include <memory>

#include "io/file_system.h"

namespace kilter::io {

/// Gathers what is appended in aligned blocks and writes each when it is full: directly where the
/// file system can, past the page cache. Not for several threads at once.
class AppendWriter {
 public:
  /// `file` must outlive it. At most `memory_bytes` (at least 2 MiB) of blocks.
  static Result<std::unique_ptr<AppendWriter>> begin(WriteFile& file, std::uint64_t memory_bytes);
  virtual ~AppendWriter() = default;  ///< waits for what is in flight
  /// Returns an earlier write's error as soon as it is known.
  virtual Status append(Bytes bytes) = 0;
  /// The same without a copy, where it can be: `keeper` holds `bytes` until they are written and is
  /// let go on any thread. They are copied all the same where they or the file's end do not lie at
  /// a multiple of kDirectAlignBytes, and so is what goes beyond such a multiple.
  virtual Status append(Bytes bytes, std::shared_ptr<const void> keeper) = 0;
  virtual std::uint64_t bytes() const = 0;  ///< appended so far
  /// Writes the rest and sets the file's size. Not yet durable: sync() the file.
  virtual Status finish() = 0;
};

}  // namespace kilter::io
