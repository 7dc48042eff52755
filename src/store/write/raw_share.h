// How many chunks are better written as they are than encoded, so that the disk is never idle.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <ratio>

namespace kilter::store {

/// Encoding makes less to write, and takes processors. Where they are slower than the disk, some
/// chunks are left raw: as many as it takes until writing has to wait for the disk now and then.
/// Not for several threads at once.
class RawShare {
 public:
  using Duration = std::chrono::steady_clock::duration;
  /// Whether the next chunk is to be raw.
  bool next_is_raw() {
    owed_ += share_;
    if (owed_ < 1) return false;
    owed_ -= 1;
    return true;
  }
  /// How long handing a chunk of so many bytes to the disk took.
  void written(std::uint64_t bytes, Duration took) {
    const bool waited = took > kLeast + bytes * kCopyOfAByte;
    share_ = std::clamp(share_ + (waited ? -kLess : kMore), 0.0, kMost);
  }
  double share() const { return share_; }

 private:
  // A copy into a free buffer takes half of this, waiting for a buffer more.
  using Picoseconds = std::chrono::duration<std::uint64_t, std::pico>;
  static constexpr Picoseconds kCopyOfAByte{350}, kLeast = std::chrono::microseconds(50);
  static constexpr double kMore = 0.02, kLess = 0.05, kMost = 0.95;
  double share_ = 0, owed_ = 0;
};

}  // namespace kilter::store
