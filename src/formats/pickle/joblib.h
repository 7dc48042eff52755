// Arrays that joblib.dump writes raw between the opcodes of a pickle.
// Source: joblib/numpy_pickle.py, NumpyArrayWrapper.write_array and read_array.
#pragma once

#include <optional>

#include "formats/pickle/lift_numpy.h"

namespace kilter::pickle {

/// What a NumpyArrayWrapper says about the array behind it.
struct JoblibArray {
  NumpyArray array;        ///< `data` stays kNoNode: the bytes lie at Node::integer of the wrapper
  bool objects = false;    ///< a whole pickle follows instead of raw bytes
  bool aligned = false;    ///< a byte with a count of padding bytes comes first
  bool has_dtype = false;  ///< array.dtype is one that tensors have
  std::uint64_t raw_bytes = 0;
};

/// True if `node` is an instance of joblib.numpy_pickle.NumpyArrayWrapper.
bool is_joblib_wrapper(const Graph& graph, NodeId node);

/// nullopt if the wrapper's state is not as joblib writes it, or its dtype has no known size.
std::optional<JoblibArray> read_joblib_wrapper(const Graph& graph, NodeId node);

}  // namespace kilter::pickle
