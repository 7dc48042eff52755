// Pickles in a file, one after another, with raw data between them.
#pragma once

#include <vector>

#include "formats/pickle/machine.h"
#include "io/file_system.h"

namespace kilter::torch {

/// Reads pickles at a moving position. Reads only as much of the file as each pickle needs: a large
/// one is met by reading again with eight times as much.
class PickleCursor {
 public:
  PickleCursor(const io::ReadFile& file, std::uint64_t bytes_max)
      : file_(file), bytes_max_(bytes_max) {}

  std::uint64_t position() const { return position_; }
  std::uint64_t remaining() const { return file_.bytes() - position_; }
  void seek(std::uint64_t position) { position_ = position; }

  /// Runs the pickle at the position into `graph`, which must be empty, and moves past it; returns
  /// its result node.
  /// Errors: kMalformed, kLimitExceeded with path and offset; kIo.
  Result<pickle::NodeId> next(const pickle::Limits& limits, pickle::Graph* graph);
  /// The same where the pickle is an integer.
  Result<std::int64_t> next_integer();
  /// A little-endian 64-bit number. kMalformed past the end.
  Result<std::int64_t> i64();
  Status read(std::span<std::byte> out);

 private:
  Status load(std::uint64_t count);
  const io::ReadFile& file_;
  std::uint64_t bytes_max_;
  std::uint64_t position_ = 0;
  std::uint64_t begin_ = 0;
  std::vector<std::byte> buffer_;
};

}  // namespace kilter::torch
