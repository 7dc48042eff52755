// Packs a collector has condemned. Source: spec/store.md, "Collecting beside writers".
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "store/digest.h"
#include "store/place/place.h"

namespace kilter::store {

/// One collector's list. Packs on it are still read, but no new commit may rely on them.
struct FossilList {
  std::string name;           ///< of the object; empty until it is written
  std::vector<Digest> packs;  ///< sorted
  /// Writers that were alive once the list was there: they may have looked before. nullopt: the
  /// collector died before it noted them.
  std::optional<std::vector<std::string>> sessions;
};

Result<std::vector<FossilList>> read_fossils(Place& place);
std::string fossils_name(const FossilList& list);  ///< "fossils/<digest>.json"
Status write_fossils(Place& place, FossilList& list);
/// Packs on any list.
Result<std::set<Digest>> condemned_packs(Place& place);

/// Commits whose data was given up: the record stays in the history, the tree may be collected.
Result<std::set<Digest>> read_retired(Place& place);
Status write_retired(Place& place, const std::set<Digest>& commits);

}  // namespace kilter::store
