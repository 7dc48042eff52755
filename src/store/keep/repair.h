// Makes a damaged store whole, as far as what is there and another copy allow.
#pragma once

#include <string>
#include <vector>

#include "store/keep/check.h"

namespace kilter::store {

struct RepairRequest {
  Store* copy = nullptr;  ///< another store that may have what is missing here
  bool dry_run = false;
  std::uint64_t max_memory_bytes = 512ULL << 20;
  RunContext context = {};
};

struct RepairOutcome {
  std::vector<std::string> set_aside;  ///< objects moved to aside/
  std::uint64_t indexed_packs = 0;     ///< packs that no index named
  std::uint64_t saved_count = 0;       ///< sound chunks taken out of damaged packs
  std::uint64_t fetched_count = 0;     ///< chunks taken from the copy
  CheckOutcome after;                  ///< what is still wrong, with everything it hits
};

/// Opens a store whose index may be damaged: index files that cannot be read are set aside (with
/// `dry_run`: only named), packs that no index names are indexed. Errors: as Store::open().
Result<std::shared_ptr<Store>> open_for_repair(std::unique_ptr<Place> place, bool dry_run,
                                               RepairOutcome& outcome);

/// Reads everything, takes sound chunks out of damaged packs, fetches the others from the copy,
/// sets damaged packs aside. Deletes nothing. Errors: as check_store(); kAlreadyExists when a
/// collector runs.
Status repair(Store& store, const RepairRequest& request, RepairOutcome& outcome);

}  // namespace kilter::store
