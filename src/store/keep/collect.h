// Removes what nobody needs, beside writers. Source: spec/store.md, "Collecting beside writers".
#pragma once

#include <set>
#include <vector>

#include "kilter/upkeep.h"

#include "store/store.h"

namespace kilter::store {

using kilter::CollectReport;
using kilter::CollectRequest;

/// Condemns packs that hold nothing reachable, and removes those that no living writer can have
/// relied on. Never blocks readers or writers. Errors: kCorrupt when a commit cannot be read:
/// nothing is removed from a damaged store; kIo; kAlreadyExists when another collector runs.
Result<CollectReport> collect(Store& store, const CollectRequest& request);

/// Condemns these packs (all they hold lies elsewhere too) and removes them as collect() does.
/// The caller holds the collector's lock.
Status condemn_packs(Store& store, const std::vector<Digest>& packs, CollectReport& outcome,
                     const RunContext& context);

/// Writes the index anew without these packs.
Status drop_packs_from_index(Store& store, const std::set<Digest>& packs);

/// The lock that collectors and compactors share.
Result<std::unique_ptr<PlaceLock>> lock_keeping(Store& store);

}  // namespace kilter::store
