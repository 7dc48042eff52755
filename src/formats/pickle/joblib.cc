#include "formats/pickle/joblib.h"

#include <fmt/format.h>

#include <charconv>

#include "base/checked.h"
#include "formats/pickle/machine_state.h"

namespace kilter::pickle {
namespace {

NodeId find_key(const Graph& graph, const Node& dict, std::string_view key) {
  for (std::size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    const Node& candidate = graph[dict.items[i]];
    if (candidate.kind == NodeKind::kString && candidate.text == key) return dict.items[i + 1];
  }
  return kNoNode;
}

}  // namespace

bool is_joblib_wrapper(const Graph& graph, NodeId node) {
  return is_call_of(graph, node, "joblib.numpy_pickle.NumpyArrayWrapper");
}

std::optional<JoblibArray> read_joblib_wrapper(const Graph& graph, NodeId node) {
  if (!is_joblib_wrapper(graph, node) || graph[node].states.size() != 1) return std::nullopt;
  const Node& state = graph[graph[node].states[0]];
  if (state.kind != NodeKind::kDict) return std::nullopt;
  const NodeId shape = find_key(graph, state, "shape");
  const NodeId order = find_key(graph, state, "order");
  const NodeId dtype = find_key(graph, state, "dtype");
  if (shape == kNoNode || order == kNoNode || dtype == kNoNode) return std::nullopt;
  const auto sizes = read_shape(graph, shape);
  const auto layout = read_dtype_layout(graph, dtype);
  if (!sizes || !layout || graph[order].kind != NodeKind::kString) return std::nullopt;

  JoblibArray out;
  out.objects = layout->object;
  out.array.shape = *sizes;
  out.array.fortran_order = graph[order].text == "F";
  out.array.big_endian = layout->big_endian;
  if (layout->dtype) out.array.dtype = *layout->dtype;
  out.has_dtype = layout->dtype.has_value();
  const auto bytes = element_product(*sizes, layout->item_bytes);
  if (!bytes) return std::nullopt;
  out.array.bytes = out.raw_bytes = *bytes;
  const NodeId alignment = find_key(graph, state, "numpy_array_alignment_bytes");
  out.aligned = alignment != kNoNode && graph[alignment].kind == NodeKind::kInt;
  return out;
}

bool Machine::read_joblib_array(NodeId wrapper) {
  if (!is_joblib_wrapper(graph_, wrapper)) return true;
  const auto array = read_joblib_wrapper(graph_, wrapper);
  if (!array) {
    stream_.error = Error(ErrorCode::kUnsupported, "a joblib array of unknown size follows")
                        .at_offset(base_ + position_);
    return false;
  }
  if (frame_end_ != kNoFrame && position_ != frame_end_) leave_frame();
  frame_end_ = kNoFrame;
  if (array->objects) return read_joblib_objects(wrapper);
  std::string_view raw;
  if (array->aligned) {
    std::uint8_t padding;
    if (!take(1, &raw)) return false;
    padding = static_cast<std::uint8_t>(raw[0]);
    if (!take(padding, &raw)) return false;
  }
  node(wrapper).integer = static_cast<std::int64_t>(base_ + position_);
  return take(array->raw_bytes, &raw);
}

// The array is a pickle of its own, without raw arrays inside: one level, no recursion.
bool Machine::read_joblib_objects(NodeId wrapper) {
  Limits inner_limits = limits_;
  inner_limits.joblib_arrays = false;
  const Stream inner =
      Machine(bytes_.subspan(position_), base_ + position_, inner_limits, &graph_).run();
  position_ += static_cast<std::size_t>(inner.end_bytes - inner.begin_bytes);
  if (inner.error) {
    stream_.error = inner.error;
    return false;
  }
  node(wrapper).appended.push_back(inner.result);
  return true;
}

}  // namespace kilter::pickle
