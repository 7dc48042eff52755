// Makes a store small: the smallest form of every chunk, packs without dead space.
#pragma once

#include <functional>

#include "store/keep/collect.h"

namespace kilter::store {

struct CompactRequest {
  bool dry_run = false;            ///< encode everything, say what it would gain, keep nothing
  bool encode = true;              ///< false: only move what is needed out of packs that are not
  unsigned chain_max = kDepthMax;  ///< other chunks behind one; 1 to kDepthMax
  double dead_part_max = 0.2;      ///< packs with more dead bytes than this are written anew
  unsigned thread_count = 0;
  std::uint64_t max_memory_bytes = 512ULL << 20;
  RunContext context = {};
};

using kilter::CompactReport;

/// Encodes what was saved fast, tensor by tensor along the history: against the same tensor of the
/// commit before, or as the rounded copy of another tensor of the same commit, whichever is
/// smallest; then drops the packs that are no longer needed. May be interrupted at any time: what
/// is done stays done. Safe beside readers and savers. Errors: as collect().
Result<CompactReport> compact(Store& store, const CompactRequest& request);

}  // namespace kilter::store
