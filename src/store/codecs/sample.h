// A few KiB that stand for a chunk.
#pragma once

#include <vector>

#include "store/codecs/codec.h"

namespace kilter::store {

inline constexpr std::size_t kSampleRuns = 16;
inline constexpr std::size_t kSampleRunElements = 256;

/// Where the runs of a sample begin, in elements: all of a small chunk in one run, else 16 runs of
/// 256 elements at equal distances. Run beginnings are multiples of 128.
struct SampleRuns {
  explicit SampleRuns(std::size_t elements);
  std::size_t count = 0;         ///< of runs
  std::size_t run_elements = 0;  ///< of each
  std::size_t stride_elements = 0;
  std::size_t elements() const { return count * run_elements; }
};

/// The elements of those runs, one run after the other. Bytes behind the last whole element are
/// left out.
std::vector<std::byte> take_sample(Bytes plain, std::size_t element_bytes);

}  // namespace kilter::store
