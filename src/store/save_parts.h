// One commit written by several processes: each stores its part, one refers to all of them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "store/save.h"

namespace kilter::store {

/// A part that is stored, and that no collector removes as long as this object lives.
struct StoredPart {
  std::unique_ptr<PlaceSession> session;
  Tree tree;
  ChunkWriterTotals totals;
};

/// Stores what `request.content` adds; packs and index are durable when it returns. No reference
/// leads there yet. Errors: as save_tree().
Result<StoredPart> store_part(Store& store, const SaveRequest& request);

/// The files of all parts as one tree. The files of each part must follow each other when all are
/// sorted by their paths. Errors: kInvalidArgument where they do not.
Result<Tree> join_parts(std::vector<Tree> parts);

}  // namespace kilter::store
