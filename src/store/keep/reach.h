// What references still need. Source: spec/store.md, "Collecting".
#pragma once

#include <set>
#include <unordered_set>
#include <vector>

#include "kilter/progress.h"

#include "store/history/history.h"

namespace kilter::store {

using DigestSet = std::unordered_set<Digest, DigestHash>;

struct Reach {
  DigestSet chunks;           ///< data, trees, commits, and whatever they lean on
  std::vector<Error> faults;  ///< commits or trees that could not be read
};

/// Marks everything that references reach: commits with all their ancestors, and of those that are
/// not retired trees, tensors and skeletons. Errors: kIo; kCancelled. What is missing is a fault.
/// Of a chunk that also lies outside the packs of `leaving`, only those places count.
Result<Reach> mark_reachable(Store& store, const History& history, const RunContext& context,
                             const std::set<Digest>& leaving = {});

/// Marks one tree with all its chunks and what those lean on.
Status mark_tree(Store& store, const Digest& tree, DigestSet& chunks,
                 const std::set<Digest>& leaving = {});

}  // namespace kilter::store
