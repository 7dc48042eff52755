// What changed between two commits.
#pragma once

#include "kilter/commit.h"

#include "store/store.h"

namespace kilter::store {

using kilter::Change;
using kilter::CommitDiff;
using kilter::FileChange;
using kilter::MetadataChange;
using kilter::TensorChange;

/// Compares names of chunks: no data is read. Errors: kCorrupt, kIo.
Result<CommitDiff> diff_commits(Store& a_store, const Digest& a, Store& b_store, const Digest& b);

}  // namespace kilter::store
