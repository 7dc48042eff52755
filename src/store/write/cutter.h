// Cuts bytes by their content. Source: spec/store.md, "Cutting".
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/byte_reader.h"

namespace kilter::store {

inline constexpr std::uint64_t kCutBytesMin = 16ULL << 10;
inline constexpr std::uint64_t kCutBytesMax = 1ULL << 20;

/// The 256 numbers of the gear hash.
const std::array<std::uint64_t, 256>& gear_table();

/// Takes bytes in runs of any length and gives out chunks whose borders depend on the bytes alone.
class Cutter {
 public:
  /// Takes a prefix of `bytes`; returns how many. When chunk_ready() is true afterwards, take
  /// the chunk before adding more.
  std::size_t add(Bytes bytes);
  bool chunk_ready() const { return ready_; }
  bool empty() const { return chunk_.empty(); }
  /// The chunk so far, or the whole one if it is ready; begins the next.
  std::vector<std::byte> take();

 private:
  std::vector<std::byte> chunk_;
  std::uint64_t hash_ = 0;
  bool ready_ = false;
};

}  // namespace kilter::store
