// What is not tensor data: cut by its content, handed to a chunk writer.
#pragma once

#include "store/format/objects.h"
#include "store/write/chunk_writer.h"
#include "store/write/cutter.h"

namespace kilter::store {

/// Takes the skeleton of a tree from its first byte to its last. `writer` and `tree` must outlive
/// it.
class SkeletonWriter {
 public:
  SkeletonWriter(ChunkWriter& writer, Tree& tree) : writer_(writer), tree_(tree) {}

  /// Call it once files and tensors are listed: parts must not move while workers write their
  /// names, so that there must be room for all of them at once.
  void begin();
  Status add(Bytes bytes);
  Status end();

 private:
  ChunkWriter& writer_;
  Tree& tree_;
  Cutter cutter_;
};

}  // namespace kilter::store
