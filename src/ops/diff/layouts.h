// Tensors that hold the same numbers in another order.
#pragma once

#include <optional>

#include "ops/weights/tensor_pairs.h"

namespace kilter::ops {

/// Views under which two matrices of floats that differ element by element may agree; found by
/// samples. nullopt if none is likely.
struct LayoutGuess {
  ElementView view_a, view_b;
  const char* name = "";  ///< "transposed", "rotary"
};

/// Of matrices [n, n]: one the other's transpose?
/// Errors: as the sources report.
Result<std::optional<LayoutGuess>> guess_transposed(const TensorPair& pair);

/// Of [heads * n, columns]: is the one in Meta's order of the rows of queries and keys, the other
/// in halves as transformers has it? `meta_is_a` says which.
/// Source: permute() of transformers' convert_llama_weights_to_hf.py, as a fact about its output.
Result<std::optional<LayoutGuess>> guess_rotary(const TensorPair& pair, bool meta_is_a);

}  // namespace kilter::ops
