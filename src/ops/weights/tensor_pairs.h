// Two tensors beside each other: sums over both, in parallel, the same for any number of threads.
#pragma once

#include <cstdint>
#include <vector>

#include "kilter/dtype.h"
#include "kilter/progress.h"

#include "ops/diff/element_view.h"
#include "ops/weights/weights_input.h"
#include "tensor/kernels/difference_sums.h"

namespace kilter::ops {

/// What two tensors have to say of each other.
struct PairSums {
  DifferenceSums sums;
  bool same_bits = true;
  bool same_rounded = true;  ///< the wider one rounded is the narrower one
};

/// Two tensors with as many elements.
struct TensorPair {
  const WeightsInput* input_a = nullptr;
  const WeightsInput* input_b = nullptr;
  std::size_t a = 0, b = 0;
  DType dtype_a = DType::kF32, dtype_b = DType::kF32;
  bool floats = false;  ///< false: of one dtype of whole bytes, compared by bits
  std::uint64_t elements = 0;
  ElementView view_a = {}, view_b = {};  ///< other than plain: of dtypes of whole bytes
};

/// One result for each pair. Of several errors the first in order.
Result<std::vector<PairSums>> sum_pairs(const std::vector<TensorPair>& pairs, unsigned thread_count,
                                        const RunContext& context);

}  // namespace kilter::ops
