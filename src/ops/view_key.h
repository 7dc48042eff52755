// When two tensors of one source are the same bytes under two names.
#pragma once

#include <cstdint>
#include <tuple>
#include <vector>

#include "kilter/tensor_index.h"

namespace kilter::ops {

/// Two tensors with one key are the same view of the same storage.
using ViewKey = std::tuple<std::uint32_t, std::uint64_t, DType, std::vector<std::int64_t>,
                           std::vector<std::int64_t>, bool, bool>;
inline ViewKey view_key(const TensorInfo& t) {
  return {t.storage, t.offset_elements, t.dtype, t.shape, t.strides, t.conjugate, t.negative};
}

}  // namespace kilter::ops
