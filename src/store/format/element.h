// How a tensor's dtype looks to the store: element for the codecs, bytes of a piece.
#pragma once

#include <cstdint>

#include "kilter/dtype.h"

#include "store/codecs/codec.h"

namespace kilter::store {

/// Elements of a tensor that make one chunk: pieces of a tensor and of its rounded copy, or of the
/// same tensor a step later, lie side by side whatever their dtypes.
inline constexpr std::uint64_t kPieceElements = 1ULL << 20;

/// Tensors below this many bytes are kept with what surrounds them.
inline constexpr std::uint64_t kTensorBytesMin = 4096;

/// Complex numbers are pairs of their parts; what has no element of its own is bytes.
Element element_of(DType dtype);
/// Bytes of kPieceElements elements; at most kChunkBytesMax.
std::uint64_t piece_bytes_of(DType dtype);

}  // namespace kilter::store
