// What changed between two commits.
#pragma once

#include <string>
#include <vector>

#include "store/store.h"

namespace kilter::store {

enum class Change : std::uint8_t { kSame, kChanged, kAdded, kRemoved };

struct FileChange {
  Change change = Change::kSame;
  std::string path;
  std::uint64_t bytes_before = 0, bytes_after = 0;
};
struct TensorChange {
  Change change = Change::kSame;
  std::string name;
  std::string file;
  std::uint64_t bytes = 0;          ///< after; before, if removed
  std::uint64_t changed_bytes = 0;  ///< plain bytes of chunks that are not in the first commit
  bool shape_changed = false;       ///< shape or dtype
};
struct MetadataChange {
  std::string key;
  std::string before, after;  ///< JSON; empty if missing
};

struct CommitDiff {
  std::vector<FileChange> files;         ///< all, by path
  std::vector<TensorChange> tensors;     ///< all, in the second commit's order, then the removed
  std::vector<MetadataChange> metadata;  ///< only what differs
  std::uint64_t new_plain_bytes = 0;     ///< chunks of the second that the first has not
  std::uint64_t new_stored_bytes = 0;    ///< as they are stored
  bool same() const;                     ///< files and tensors
};

/// Compares names of chunks: no data is read. Errors: kCorrupt, kIo.
Result<CommitDiff> diff_commits(Store& a_store, const Digest& a, Store& b_store, const Digest& b);

}  // namespace kilter::store
