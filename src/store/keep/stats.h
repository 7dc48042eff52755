// What occupies how much.
#pragma once

#include "kilter/upkeep.h"

#include "store/store.h"

namespace kilter::store {

using kilter::FormStats;
using kilter::StoreStats;

/// Errors: kCorrupt, kIo; kCancelled.
Result<StoreStats> store_stats(Store& store, const RunContext& context);

}  // namespace kilter::store
