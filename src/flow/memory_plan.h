// How a memory budget is divided among tiles, read-ahead and scratch.
#pragma once

#include <cstdint>

#include "kilter/error.h"

namespace kilter::flow {

struct MemoryNeeds {
  std::uint64_t budget_bytes = 0;
  unsigned thread_count = 1;     ///< wanted
  std::uint64_t tile_bytes = 0;  ///< 0 = chosen here
  bool has_kernels = false;
  bool has_blocks = false;  ///< some input is read in blocks (block_cache.h)
};

struct MemoryPlan {
  unsigned thread_count = 1;
  std::uint64_t tile_bytes = 0;
  std::size_t tile_count = 0;
  std::uint64_t staging_bytes = 0;  ///< of one read-ahead buffer: a tile and its unaligned ends
  std::size_t staging_count = 0;    ///< 0: no direct reads
  std::uint64_t scratch_bytes = 0;  ///< for each thread, for the source
  std::uint64_t kernel_bytes = 0;   ///< for each thread, for kernel inputs; 0 without kernels
  std::uint64_t block_bytes = 0;    ///< of one block; 0 without blocks
};

/// Errors: kInvalidArgument below kEngineMemoryBytesMin, or for a tile size that is no multiple of
/// 4 KiB or does not fit the budget.
Result<MemoryPlan> plan_memory(const MemoryNeeds& needs);

}  // namespace kilter::flow
