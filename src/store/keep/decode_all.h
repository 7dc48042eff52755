// Reads and decodes everything a store holds, each chunk about once.
#pragma once

#include <functional>
#include <vector>

#include "kilter/progress.h"

#include "store/store.h"

namespace kilter::store {

struct DecodeAllRequest {
  unsigned thread_count = 0;
  std::uint64_t max_memory_bytes = 512ULL << 20;
  RunContext context = {};
  /// Told the payload bytes of each place that was looked at; one call at a time.
  std::function<void(std::uint64_t)> advance;
};

/// A place that does not give the chunk's bytes.
struct BadPlace {
  std::size_t place = 0;  ///< index in what was asked for
  Error error;
};

/// Decodes each of these places and checks it against its name. What leans on a chunk is decoded
/// right after it, while its bytes are at hand; where memory does not allow that, they are made
/// again. The bad ones come in the order of `places`. Errors: kCancelled.
Result<std::vector<BadPlace>> decode_all(Store& store, const std::vector<ChunkPlace>& places,
                                         const DecodeAllRequest& request);

}  // namespace kilter::store
