// numpy arrays and scalars inside pickles, read from the graph without numpy.
// Source: numpy/_core/src/multiarray/methods.c (array_reduce, array_setstate) and descriptor.c
// (arraydescr_reduce), as documented under "pickling" in the NumPy reference.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "kilter/dtype.h"
#include "kilter/error.h"

#include "formats/pickle/machine.h"

namespace kilter::pickle {

/// An array whose elements are numbers.
struct NumpyArray {
  DType dtype = DType::kF32;
  bool big_endian = false;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
  std::uint64_t bytes = 0;
  NodeId data = kNoNode;  ///< bytes, or the call that yields them
};

/// An array of Python objects: a list of them in C order.
struct NumpyObjectArray {
  std::vector<std::int64_t> shape;
  NodeId elements = kNoNode;
};

using NumpyValue = std::variant<std::monostate, NumpyArray, NumpyObjectArray>;

/// What array or scalar the call `node` makes; monostate where it makes none or one of a dtype that
/// tensors do not have (text, dates, structures).
/// Errors: kMalformed where shape and bytes contradict each other.
Result<NumpyValue> read_numpy(const Graph& graph, NodeId node);

/// A numpy.dtype object, as far as its size shows.
struct DTypeLayout {
  bool object = false;
  std::optional<DType> dtype;  ///< none for text, dates, structures, opaque bytes
  std::uint64_t item_bytes = 0;
  bool big_endian = false;
};
/// nullopt for dtypes with subarrays and what is no dtype.
std::optional<DTypeLayout> read_dtype_layout(const Graph& graph, NodeId node);
std::optional<std::vector<std::int64_t>> read_shape(const Graph& graph, NodeId node);
/// Bytes of an array; nullopt where they do not fit 64 bits.
std::optional<std::uint64_t> element_product(const std::vector<std::int64_t>& shape,
                                             std::uint64_t item_bytes);

/// The bytes that `node` stands for: plain bytes, Python 2's strings, or
/// `_codecs.encode(text, 'latin1')`. nullopt for anything else.
std::optional<std::string> literal_bytes(const Graph& graph, NodeId node);
/// Their number, without making them; nullopt for anything else.
std::optional<std::uint64_t> literal_bytes_count(const Graph& graph, NodeId node);

/// True if `node` is a call of the global `name` ("module.name", Python 3's terms).
bool is_call_of(const Graph& graph, NodeId node, std::string_view name);
/// The items of a call's argument tuple; empty where they are no plain tuple.
const std::vector<NodeId>& call_arguments(const Graph& graph, const Node& call);

}  // namespace kilter::pickle
