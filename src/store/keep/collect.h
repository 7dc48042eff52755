// Removes what nobody needs, beside writers. Source: spec/store.md, "Collecting beside writers".
#pragma once

#include <set>
#include <vector>

#include "kilter/progress.h"

#include "store/store.h"

namespace kilter::store {

struct CollectRequest {
  bool dry_run = false;
  RunContext context = {};
};

struct CollectOutcome {
  std::uint64_t removed_packs = 0;
  std::uint64_t removed_bytes = 0;
  std::uint64_t waiting_packs = 0;  ///< condemned; they go once the writers of now have ended
  std::uint64_t waiting_bytes = 0;
  std::uint64_t dead_bytes = 0;   ///< in packs that also hold what is needed: `compact` frees them
  std::uint64_t swept_files = 0;  ///< left behind by writers that died
  std::vector<std::string> writers;  ///< sessions that are waited for
};

/// Condemns packs that hold nothing reachable, and removes those that no living writer can have
/// relied on. Never blocks readers or writers. Errors: kCorrupt when a commit cannot be read:
/// nothing is removed from a damaged store; kIo; kAlreadyExists when another collector runs.
Result<CollectOutcome> collect(Store& store, const CollectRequest& request);

/// Condemns these packs (all they hold lies elsewhere too) and removes them as collect() does.
/// The caller holds the collector's lock.
Status condemn_packs(Store& store, const std::vector<Digest>& packs, CollectOutcome& outcome,
                     const RunContext& context);

/// Writes the index anew without these packs.
Status drop_packs_from_index(Store& store, const std::set<Digest>& packs);

/// The lock that collectors and compactors share.
Result<std::unique_ptr<PlaceLock>> lock_keeping(Store& store);

}  // namespace kilter::store
