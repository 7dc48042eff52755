#include "formats/pickle/lift_numpy.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "base/checked.h"
#include "base/try.h"
#include "base/utf8.h"
#include "formats/pickle/opcodes.h"

namespace kilter::pickle {
namespace {

constexpr std::size_t kDimensionsMax = 64;  // numpy's own limit

struct DTypeCode {
  std::string_view code;
  DType dtype;
};
// Source: numpy's array-protocol type strings. V2 is how numpy writes bfloat16.
constexpr std::array kDTypeCodes = {
    DTypeCode{"b1", DType::kBool}, DTypeCode{"i1", DType::kI8},    DTypeCode{"i2", DType::kI16},
    DTypeCode{"i4", DType::kI32},  DTypeCode{"i8", DType::kI64},   DTypeCode{"u1", DType::kU8},
    DTypeCode{"u2", DType::kU16},  DTypeCode{"u4", DType::kU32},   DTypeCode{"u8", DType::kU64},
    DTypeCode{"f2", DType::kF16},  DTypeCode{"f4", DType::kF32},   DTypeCode{"f8", DType::kF64},
    DTypeCode{"c8", DType::kC64},  DTypeCode{"c16", DType::kC128}, DTypeCode{"V2", DType::kV2},
};

bool is_global(const Graph& graph, NodeId node, std::string_view name) {
  const Node& n = graph[node];
  return n.kind == NodeKind::kGlobal && is_named(n, name);
}

// numpy.core became numpy._core in numpy 2.
bool is_numpy_function(const Node& global, std::string_view module, std::string_view name) {
  if (!global.items.empty() || global.text2 != name) return false;
  for (const std::string_view head : {"numpy.core.", "numpy._core."}) {
    if (global.text.starts_with(head) && global.text.ends_with(module) &&
        global.text.size() == head.size() + module.size())
      return true;
  }
  return false;
}

std::optional<std::string_view> text_of(const Graph& graph, NodeId node) {
  const Node& n = graph[node];
  if (n.kind != NodeKind::kString && n.kind != NodeKind::kBytes) return std::nullopt;
  return n.text;
}

// Bytes of an element by its type string: "f4" 4, "U3" 12 (UCS-4), "M8" 8.
std::optional<std::uint64_t> item_bytes_of(std::string_view code) {
  std::uint64_t number = 0;
  const char* const end = code.data() + code.size();
  if (code.size() < 2 || code.find_first_of("biufcSUVMm") != 0) return std::nullopt;
  const auto parsed = std::from_chars(code.data() + 1, end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return code[0] == 'U' ? checked_mul<std::uint64_t>(number, 4) : std::optional(number);
}

// A structure has names and fields; bit 0 of its flags says that some of them are objects.
bool apply_state(const Graph& graph, const Node& state, DTypeLayout* out) {
  if (state.kind != NodeKind::kTuple || state.items.size() < 5) return false;
  const auto order = text_of(graph, state.items[1]);
  if (!order || graph[state.items[2]].kind != NodeKind::kNone) return false;
  out->big_endian = *order == ">";
  const bool structure = graph[state.items[3]].kind != NodeKind::kNone ||
                         graph[state.items[4]].kind != NodeKind::kNone;
  if (!structure) return true;
  out->dtype.reset();
  out->big_endian = false;
  if (state.items.size() < 8 || graph[state.items[7]].kind != NodeKind::kInt) return false;
  out->object = (graph[state.items[7]].integer & 1) != 0;
  return true;
}

std::string count_text(std::optional<std::uint64_t> count, const char* unit) {
  return (count ? std::to_string(*count) : std::string("more than 2^64")) + unit;
}

Result<NumpyValue> make_array(const Graph& graph, const Node& call, const DTypeLayout& dtype,
                              std::vector<std::int64_t> shape, bool fortran_order, NodeId data) {
  const auto contradiction = [&](std::string expected, std::string found) {
    return fail(Error(ErrorCode::kMalformed, "a numpy array's shape and data contradict each other")
                    .at_offset(call.offset_bytes)
                    .wanted(std::move(expected), std::move(found)));
  };
  if (dtype.object) {
    const Node& list = graph[data];
    if (list.kind != NodeKind::kList) return NumpyValue{};
    const auto count = element_product(shape, 1);
    if (count != list.items.size()) {
      return contradiction(count_text(count, " elements"), count_text(list.items.size(), ""));
    }
    return NumpyValue{NumpyObjectArray{std::move(shape), data}};
  }
  const auto held = literal_bytes_count(graph, data);
  if (!held || !dtype.dtype) return NumpyValue{};
  const auto expected = element_product(shape, dtype.item_bytes);
  if (expected != held) {
    return contradiction(count_text(expected, " bytes"), count_text(held, ""));
  }
  NumpyArray out;
  out.dtype = *dtype.dtype;
  out.big_endian = dtype.big_endian;
  out.fortran_order = fortran_order;
  out.shape = std::move(shape);
  out.bytes = *held;
  out.data = data;
  return NumpyValue{std::move(out)};
}

// _reconstruct(ndarray, (0,), b'b') and the state (version, shape, dtype, is_fortran, data).
Result<NumpyValue> read_reconstruct(const Graph& graph, const Node& call) {
  const auto& arguments = call_arguments(graph, call);
  if (arguments.empty() || !is_global(graph, arguments[0], "numpy.ndarray")) return NumpyValue{};
  if (call.states.size() != 1) return NumpyValue{};
  const Node& state = graph[call.states[0]];
  if (state.kind != NodeKind::kTuple || state.items.size() != 5) return NumpyValue{};
  auto shape = read_shape(graph, state.items[1]);
  const auto dtype = read_dtype_layout(graph, state.items[2]);
  const Node& order = graph[state.items[3]];
  if (!shape || !dtype) return NumpyValue{};
  if (order.kind != NodeKind::kBool && order.kind != NodeKind::kInt) return NumpyValue{};
  return make_array(graph, call, *dtype, std::move(*shape), order.integer != 0, state.items[4]);
}

// Protocol 5: _frombuffer(bytes, dtype, shape, 'C').
Result<NumpyValue> read_frombuffer(const Graph& graph, const Node& call) {
  const auto& arguments = call_arguments(graph, call);
  if (arguments.size() < 3 || arguments.size() > 4) return NumpyValue{};
  const auto dtype = read_dtype_layout(graph, arguments[1]);
  auto shape = read_shape(graph, arguments[2]);
  const auto order =
      arguments.size() == 4 ? text_of(graph, arguments[3]) : std::optional<std::string_view>("C");
  if (!dtype || !shape || !order || dtype->object) return NumpyValue{};
  if (*order != "C" && *order != "F") return NumpyValue{};
  return make_array(graph, call, *dtype, std::move(*shape), *order == "F", arguments[0]);
}

Result<NumpyValue> read_scalar(const Graph& graph, const Node& call) {
  const auto& arguments = call_arguments(graph, call);
  if (arguments.size() != 2) return NumpyValue{};
  const auto dtype = read_dtype_layout(graph, arguments[0]);
  if (!dtype || dtype->object) return NumpyValue{};
  return make_array(graph, call, *dtype, {}, false, arguments[1]);
}

bool is_raw_bytes(const Node& node) {
  if (node.kind == NodeKind::kBytes || node.kind == NodeKind::kByteArray) return true;
  return node.kind == NodeKind::kString &&
         (node.call_opcode == kOpString || node.call_opcode == kOpBinString ||
          node.call_opcode == kOpShortBinString);
}

// The text of _codecs.encode(text, 'latin1'), or of bytes() for the empty one.
const std::string* encoded_text(const Graph& graph, NodeId node) {
  static const std::string kEmpty;
  const auto is_empty_call = [&](std::string_view name) {
    return is_call_of(graph, node, name) && call_arguments(graph, graph[node]).empty() &&
           graph[graph[node].items[1]].kind == NodeKind::kTuple;
  };
  if (is_empty_call("builtins.bytes")) return &kEmpty;
  if (!is_call_of(graph, node, "_codecs.encode")) return nullptr;
  const auto& arguments = call_arguments(graph, graph[node]);
  if (arguments.size() != 2 || graph[arguments[0]].kind != NodeKind::kString) return nullptr;
  const auto codec = text_of(graph, arguments[1]);
  if (codec != "latin1" && codec != "latin-1") return nullptr;
  return &graph[arguments[0]].text;
}

// Characters of UTF-8 text in which all are below U+0100; nullopt otherwise.
std::optional<std::uint64_t> latin1_count(std::string_view text) {
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < text.size(); ++count) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte > 0xc3) return std::nullopt;
    i += byte < 0x80 ? 1 : 2;
  }
  return count;
}

}  // namespace

// numpy.dtype('f4', False, True) with the state (3, '<', None, …).
std::optional<DTypeLayout> read_dtype_layout(const Graph& graph, NodeId node) {
  if (!is_call_of(graph, node, "numpy.dtype")) return std::nullopt;
  const auto& arguments = call_arguments(graph, graph[node]);
  if (arguments.empty()) return std::nullopt;
  const auto code = text_of(graph, arguments[0]);
  if (!code) return std::nullopt;
  DTypeLayout out;
  out.object = *code == "O8" || *code == "O4" || *code == "O";
  if (out.object) return out;
  const auto size = item_bytes_of(*code);
  if (!size) return std::nullopt;
  out.item_bytes = *size;
  const auto row = std::find_if(kDTypeCodes.begin(), kDTypeCodes.end(),
                                [&](const DTypeCode& r) { return r.code == *code; });
  if (row != kDTypeCodes.end()) out.dtype = row->dtype;
  const Node& call = graph[node];
  const bool known = call.states.empty() || apply_state(graph, graph[call.states.back()], &out);
  return known ? std::optional(out) : std::nullopt;
}

std::optional<std::vector<std::int64_t>> read_shape(const Graph& graph, NodeId node) {
  const Node& tuple = graph[node];
  if (tuple.kind != NodeKind::kTuple || tuple.items.size() > kDimensionsMax) return std::nullopt;
  std::vector<std::int64_t> shape;
  for (const NodeId item : tuple.items) {
    if (graph[item].kind != NodeKind::kInt || graph[item].integer < 0) return std::nullopt;
    shape.push_back(graph[item].integer);
  }
  return shape;
}

std::optional<std::uint64_t> element_product(const std::vector<std::int64_t>& shape,
                                             std::uint64_t item_bytes) {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  std::optional<std::uint64_t> out = item_bytes;
  for (const std::int64_t size : shape) {
    if (out) out = checked_mul(*out, static_cast<std::uint64_t>(size));
  }
  return out;
}

bool is_call_of(const Graph& graph, NodeId node, std::string_view name) {
  const Node& n = graph[node];
  return n.kind == NodeKind::kCall && is_global(graph, n.items[0], name);
}

const std::vector<NodeId>& call_arguments(const Graph& graph, const Node& call) {
  static const std::vector<NodeId> kNone;
  const Node& arguments = graph[call.items[1]];
  return arguments.kind == NodeKind::kTuple ? arguments.items : kNone;
}

std::optional<std::uint64_t> literal_bytes_count(const Graph& graph, NodeId node) {
  const Node& n = graph[node];
  if (is_raw_bytes(n)) return n.text.size();
  const std::string* const text = encoded_text(graph, node);
  return text == nullptr ? std::nullopt : latin1_count(*text);
}

std::optional<std::string> literal_bytes(const Graph& graph, NodeId node) {
  const Node& n = graph[node];
  if (is_raw_bytes(n)) return n.text;
  const std::string* const text = encoded_text(graph, node);
  const auto count = text == nullptr ? std::nullopt : latin1_count(*text);
  if (!count) return std::nullopt;
  std::string out;
  out.reserve(*count);
  for (std::size_t i = 0; i < text->size(); ++i) {
    const auto byte = static_cast<unsigned char>((*text)[i]);
    if (byte < 0x80) {
      out += static_cast<char>(byte);
    } else {  // the text is valid: a second byte follows
      out += static_cast<char>(((byte & 3U) << 6U) |
                               (static_cast<unsigned char>((*text)[++i]) & 0x3fU));
    }
  }
  return out;
}

Result<NumpyValue> read_numpy(const Graph& graph, NodeId node) {
  const Node& call = graph[node];
  if (call.kind != NodeKind::kCall) return NumpyValue{};
  const Node& function = graph[call.items[0]];
  if (function.kind != NodeKind::kGlobal) return NumpyValue{};
  if (is_numpy_function(function, "multiarray", "_reconstruct"))
    return read_reconstruct(graph, call);
  if (is_numpy_function(function, "multiarray", "scalar")) return read_scalar(graph, call);
  if (is_numpy_function(function, "numeric", "_frombuffer")) return read_frombuffer(graph, call);
  return NumpyValue{};
}

}  // namespace kilter::pickle
