// Where each tensor is cut, and the views that are its pieces.
#pragma once

#include <memory>
#include <vector>

#include "kilter/reshard.h"

namespace kilter::ops {

/// A piece of a tensor: a view of its storage, and where it lies in the whole.
struct ShardPiece {
  std::size_t tensor = 0;  ///< in the source's index
  std::vector<std::int64_t> offsets;
  unsigned rank = 0;
  TensorInfo view;
};

struct ShardCut {
  std::vector<ShardPiece> pieces;  ///< by rank, then by tensor
  std::vector<ReshardReport::Tensor> tensors;
  std::vector<std::uint64_t> rank_bytes;
};

/// Errors: kInvalidArgument as reshard().
Result<ShardCut> cut_tensors(const TensorIndex& index, const ReshardOptions& options);

}  // namespace kilter::ops
