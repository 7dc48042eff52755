// Is the store whole? And if not: what exactly is lost.
#pragma once

#include <string>
#include <vector>

#include "kilter/progress.h"

#include "store/store.h"

namespace kilter::store {

/// A part of a checkpoint that a fault hits.
struct Affected {
  Digest commit{};
  std::string step;    ///< "1200"; empty if none is stated
  std::string file;    ///< path in the commit
  std::string tensor;  ///< empty for what is no tensor
};

struct StoreFault {
  Error error;                     ///< object, offset, expected, found
  Digest chunk{};                  ///< zeros if the fault is not one chunk's
  std::vector<Affected> affected;  ///< what of which commits cannot be had; empty if nothing
};

struct CheckRequest {
  bool data = false;  ///< read and decode every chunk, not only what says where they are
  unsigned thread_count = 0;
  std::uint64_t max_memory_bytes = 512ULL << 20;
  RunContext context = {};
};

struct CheckOutcome {
  std::uint64_t commit_count = 0;
  std::uint64_t pack_count = 0;
  std::uint64_t chunk_count = 0;
  std::uint64_t read_bytes = 0;
  std::vector<StoreFault> faults;
  std::set<Digest> bad_packs;          ///< whose directory cannot be trusted
  std::vector<ChunkPlace> bad_places;  ///< with `data`: chunks that do not come out right
};

/// Checks references, commits, trees, that every chunk has a place, the index files, and every
/// pack's directory against the index; with `data` every chunk in every place. Damage is a report,
/// not an error. Errors: kNotFound, kUnsupported when there is no store; kCancelled.
Result<CheckOutcome> check_store(Store& store, const CheckRequest& request);

/// Reads a pack's directory from the pack itself. Errors: kCorrupt, kMalformed with path and
/// offset.
Result<std::vector<ChunkRecord>> read_pack_directory(Place& place, const Digest& pack);

}  // namespace kilter::store
