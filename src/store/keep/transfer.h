// Commits from one store to another: only what is missing, as it is stored.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kilter/progress.h"

#include "store/history/history.h"

namespace kilter::store {

struct TransferRequest {
  std::vector<Ref> refs;  ///< what is to be set in the target, with the commits to be copied
  bool force = false;     ///< move branches and tags also where that loses commits
  bool dry_run = false;
  std::uint64_t max_memory_bytes = 512ULL << 20;
  RunContext context = {};
};

struct TransferOutcome {
  std::uint64_t commit_count = 0;  ///< that were new to the target
  std::uint64_t chunk_count = 0;
  std::uint64_t bytes = 0;          ///< payloads copied, or to be copied
  std::uint64_t present_count = 0;  ///< chunks the target had
  std::vector<Ref> moved;           ///< references made or moved
};

/// What an address means to be copied: one branch or tag, or all. Errors: kNotFound.
Result<std::vector<Ref>> chosen_refs(const History& history,
                                     const std::optional<std::string>& name);

/// Copies packs first, then the index, then references, each durable: interrupted, it goes on where
/// it was. A branch moves only forward unless `force`. Payloads are checked on the way.
/// Errors: kAlreadyExists for a reference that would lose commits; kCorrupt; kIo; kCancelled.
Result<TransferOutcome> transfer(Store& from, Store& to, const TransferRequest& request);

}  // namespace kilter::store
