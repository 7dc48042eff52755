// How an operation writes what it made. Owned by the floor `ops`.
#pragma once

#include <cstdint>
#include <string>

#include "kilter/checkpoint.h"

namespace kilter {

struct OutputOptions {
  std::string to;  ///< "safetensors", "torch", "npz", "dcp"; "" = from DST's extension
  std::uint64_t shard_bytes_max = 0;  ///< 0 = one file
  bool force = false;                 ///< replace an existing output
  /// An output that is cut off stays beyond this call, and one of the same recipe that was cut off
  /// is gone on with (spec/partial-output.md). safetensors only.
  bool resume = false;
  bool dry_run = false;               ///< preflight and report only
  std::uint64_t max_memory_bytes = 512ULL << 20;
  unsigned thread_count = 0;
  std::uint64_t tile_bytes = 0;  ///< 0 = chosen from the budget
  bool direct_io = true;
  OpenOptions open;
  RunContext context;
};

}  // namespace kilter
