// A commit's files, byte for byte, back where people can use them.
#pragma once

#include <string>
#include <vector>

#include "flow/engine.h"
#include "store/address.h"

namespace kilter::store {

struct RestoreRequest {
  FoundCommit from;
  std::string target;  ///< a new folder, or a new file where the checkpoint was one
  bool force = false;  ///< replace what is there
  std::uint64_t max_memory_bytes = 512ULL << 20;
  unsigned thread_count = 0;
  RunContext context = {};
};

struct RestoreOutcome {
  std::uint64_t file_count = 0;
  std::uint64_t bytes = 0;
  double seconds = 0;
};

/// Every chunk is checked against its name on the way. The output appears whole or not at all.
/// With a path in the address: only that file, or the files below that folder.
/// Errors: kAlreadyExists without force; kCorrupt; kNoSpace; kIo; kCancelled.
Result<RestoreOutcome> restore_tree(const RestoreRequest& request);

}  // namespace kilter::store
