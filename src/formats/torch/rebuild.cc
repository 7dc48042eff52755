#include "formats/torch/rebuild.h"

#include <algorithm>
#include <array>

#include "base/checked.h"
#include "base/try.h"

namespace kilter::torch {
namespace {

using pickle::Graph;
using pickle::Lifter;
using pickle::Node;
using pickle::NodeId;
using pickle::NodeKind;

/// Sizes or strides: a tuple or list of integers, or a torch.Size of one.
std::optional<std::vector<std::int64_t>> integers(const Graph& graph, NodeId id) {
  const Node* node = &graph[id];
  if (node->kind == NodeKind::kCall && node->items.size() >= 2 &&
      graph[node->items[1]].kind == NodeKind::kTuple && graph[node->items[1]].items.size() == 1)
    node = &graph[graph[node->items[1]].items[0]];
  if (node->kind != NodeKind::kTuple && node->kind != NodeKind::kList) return std::nullopt;
  std::vector<std::int64_t> out;
  out.reserve(node->items.size());
  for (const NodeId item : node->items) {
    if (graph[item].kind != NodeKind::kInt) return std::nullopt;
    out.push_back(graph[item].integer);
  }
  return out;
}

std::optional<DType> dtype_of(const Graph& graph, NodeId id) {
  const Node& node = graph[id];
  if (node.kind != NodeKind::kGlobal || node.text != "torch") return std::nullopt;
  return dtype_from_torch(node.text2);
}

bool truthy(const Node& node) { return node.kind == NodeKind::kBool && node.integer != 0; }

/// torch counts float4 in pairs, one byte each; the index counts logical elements.
bool unpack_pairs(TensorInfo* info) {
  if (info->shape.empty()) {
    info->shape = {2};
    info->strides = {1};
  } else {
    if (info->strides.back() != 1 && info->shape.back() > 1) return false;
    const auto last = checked_mul(info->shape.back(), std::int64_t{2});
    if (!last) return false;
    for (std::size_t i = 0; i + 1 < info->strides.size(); ++i) {
      const auto wide = checked_mul(info->strides[i], std::int64_t{2});
      if (!wide) return false;
      info->strides[i] = *wide;
    }
    info->shape.back() = *last;
    info->strides.back() = 1;
  }
  const auto offset = checked_mul(info->offset_elements, std::uint64_t{2});
  if (!offset) return false;
  info->offset_elements = *offset;
  return true;
}

}  // namespace

/// One call and its arguments.
struct TorchHooks::Call {
  Lifter& lifter;
  const Graph& graph;
  NodeId node;
  const std::vector<NodeId>& arguments;

  Error malformed(std::string message) const {
    return Error(ErrorCode::kMalformed, std::move(message))
        .at_offset(graph[node].offset_bytes)
        .wanted("", pickle::render(graph, node));
  }
  bool has(std::size_t i) const { return i < arguments.size(); }
  const Node& at(std::size_t i) const { return graph[arguments[i]]; }
  StateId lifted(std::size_t i) const { return lifter.lifted(arguments[i]); }
  /// The tensor that argument `i` was lifted to; kNoState if it is none.
  StateId tensor(std::size_t i) const {
    if (!has(i)) return kNoState;
    const StateId id = lifter.lifted(arguments[i]);
    return id != kNoState && lifter.tree()[id].kind == StateKind::kTensor ? id : kNoState;
  }
  /// nullopt (an inert call) where a part is not there yet: something that contains itself.
  std::optional<StateId> object(std::string_view text, std::vector<StateId> items,
                                StateId state = kNoState, StateId extra = kNoState) const {
    if (std::find(items.begin(), items.end(), kNoState) != items.end()) return std::nullopt;
    StateNode made;
    made.kind = StateKind::kObject;
    made.text = text;
    made.items = std::move(items);
    made.state = state;
    made.extra = extra;
    return lifter.tree().add(std::move(made));
  }
  StateId dict(std::initializer_list<std::pair<std::string_view, StateId>> entries) const {
    StateNode made;
    made.kind = StateKind::kDict;
    for (const auto& [key, value] : entries) {
      StateNode text;
      text.kind = StateKind::kString;
      text.text = key;
      made.items.push_back(lifter.tree().add(std::move(text)));
      made.items.push_back(value);
    }
    return lifter.tree().add(std::move(made));
  }
  TensorInfo& draft(StateId tensor_node) const {
    return lifter.index().tensors[static_cast<std::size_t>(lifter.tree()[tensor_node].integer)];
  }
};

TorchHooks::TorchHooks(Graph* graph, NodeId root, StorageTable* table, TensorIndex* index,
                       bool lenient)
    : graph_(*graph), table_(table), lenient_(lenient) {
  find_bare_storages(root);
  prepare(graph, index);
}

TorchHooks::Callable TorchHooks::callable(NodeId id) {
  const Node& node = graph_[id];
  if (node.kind != NodeKind::kGlobal) return Callable::kOther;
  for (const auto& [known, what] : callables_)
    if (known == id) return what;
  Callable what = Callable::kOther;
  if (node.text == "torch._utils") {
    if (node.text2 == "_rebuild_tensor" || node.text2 == "_rebuild_tensor_v2")
      what = Callable::kTensor;
    else if (node.text2 == "_rebuild_tensor_v3")
      what = Callable::kTypedTensor;
    else if (node.text2 == "_rebuild_qtensor")
      what = Callable::kQuantized;
    else if (node.text2 == "_rebuild_parameter")
      what = Callable::kParameter;
  }
  constexpr std::size_t kRememberedMax = 64;
  if (callables_.size() < kRememberedMax) callables_.emplace_back(id, what);
  return what;
}

void TorchHooks::find_bare_storages(NodeId root) {
  const auto takes_storage = [this](NodeId id) {
    const Callable what = callable(id);
    return what != Callable::kOther && what != Callable::kParameter;
  };
  std::vector<bool> arguments(graph_.nodes.size(), false);
  for (const Node& node : graph_.nodes) {
    if (node.kind != NodeKind::kCall || node.items.size() < 2) continue;
    if (takes_storage(node.items[0])) {
      arguments[node.items[1]] = true;
      continue;
    }
    // _rebuild_from_type_v2(function, class, arguments, state)
    const Node& outer = graph_[node.items[1]];
    if (outer.kind == NodeKind::kTuple && outer.items.size() == 4 && takes_storage(outer.items[0]))
      arguments[outer.items[2]] = true;
  }
  bare_.assign(graph_.nodes.size(), false);
  const auto refer = [&](NodeId id) {
    if (graph_[id].kind == NodeKind::kPersistentId) bare_[id] = true;
  };
  refer(root);
  for (NodeId id = 0; id < graph_.nodes.size(); ++id) {
    const Node& node = graph_[id];
    for (std::size_t i = arguments[id] ? 1 : 0; i < node.items.size(); ++i) refer(node.items[i]);
    for (const auto* more : {&node.appended, &node.set_items, &node.states})
      for (const NodeId item : *more) refer(item);
  }
}

/// Tensors that cannot be read stay as they are: if lifting reaches them, it reports why.
void TorchHooks::prepare(Graph* graph, TensorIndex* index) {
  Node empty;
  empty.kind = NodeKind::kTuple;
  const auto none = static_cast<NodeId>(graph->nodes.size());
  graph->nodes.push_back(std::move(empty));
  bare_.push_back(false);
  for (NodeId id = 0; id < none; ++id) {
    Node& node = graph->nodes[id];
    if (node.kind != NodeKind::kCall || node.items.size() != 2) continue;
    const Callable what = callable(node.items[0]);
    Node& arguments = graph->nodes[node.items[1]];
    if (arguments.kind != NodeKind::kTuple) continue;
    // Hooks of a parameter are always an empty dictionary of their own.
    if (what == Callable::kParameter && arguments.items.size() == 3) arguments.items.pop_back();
    if (what != Callable::kTensor && what != Callable::kTypedTensor) continue;
    auto info = read_tensor(id, arguments.items, what == Callable::kTypedTensor, index);
    if (!info) continue;
    prepared_.emplace(id, std::move(*info));
    node.items[1] = none;
  }
}

Result<std::optional<StateId>> TorchHooks::lift(Lifter& lifter, NodeId node) {
  const Node& at = graph_[node];
  auto lifted =
      at.kind == NodeKind::kPersistentId ? bare_storage(lifter, node) : lift_call(lifter, node);
  if (lifted || !lenient_) return lifted;
  faults.push_back(std::move(lifted).error());
  return std::nullopt;
}

TorchHooks::Lifted TorchHooks::lift_call(Lifter& lifter, NodeId node) {
  const Node& at = graph_[node];
  if (at.items.size() < 2) return std::nullopt;
  if (const auto ready = prepared_.find(node); ready != prepared_.end())
    return lifter.add_tensor(std::move(ready->second));
  const Node& callable = graph_[at.items[0]];
  const Node& arguments = graph_[at.items[1]];
  if (const auto module = read_module_id(graph_, callable);
      module && arguments.kind == NodeKind::kTuple) {
    const Call made{lifter, graph_, node, arguments.items};
    std::vector<StateId> items;
    for (std::size_t i = 0; i < arguments.items.size(); ++i) items.push_back(made.lifted(i));
    return made.object(module->name, std::move(items));
  }
  if (callable.kind != NodeKind::kGlobal || !callable.text.starts_with("torch.") ||
      arguments.kind != NodeKind::kTuple)
    return std::nullopt;
  const Call call{lifter, graph_, node, arguments.items};
  return dispatch(call, callable.text + "." + callable.text2);
}

TorchHooks::Lifted TorchHooks::dispatch(const Call& call, std::string_view name) {
  if (name == "torch._utils._rebuild_tensor_v2" || name == "torch._utils._rebuild_tensor")
    return tensor(call, false);
  if (name == "torch._utils._rebuild_tensor_v3") return tensor(call, true);
  if (name == kRebuildParameter) return parameter(call);
  if (name == kRebuildParameterState) return parameter_with_state(call);
  if (name == kRebuildQuantized) return quantized(call);
  if (name == kRebuildSparse) return sparse(call);
  if (name == "torch._utils._rebuild_device_tensor_from_numpy" ||
      name == "torch._utils._rebuild_device_tensor_from_cpu_tensor")
    return device_tensor(call);
  if (name == kRebuildFromType) return from_type(call);
  return std::nullopt;
}

Error TorchHooks::malformed(NodeId node, std::string message) const {
  return Error(ErrorCode::kMalformed, std::move(message))
      .at_offset(graph_[node].offset_bytes)
      .wanted("", pickle::render(graph_, node));
}

Result<StorageRef> TorchHooks::storage(NodeId node, NodeId id, TensorIndex* index) {
  if (const auto known = resolved_.find(id); known != resolved_.end()) return known->second;
  KILTER_ASSIGN(const auto request, read_storage_id(graph_, id));
  if (!request)
    return fail(malformed(node, "a tensor is rebuilt from something else than a storage"));
  KILTER_ASSIGN(const StorageRef ref, table_->resolve(*request, index));
  resolved_.emplace(id, ref);
  return ref;
}

/// Arguments 1 to 3: offset, size, stride.
Result<TensorInfo> TorchHooks::view(NodeId node, const Arguments& arguments, const StorageRef& ref,
                                    DType dtype) const {
  TensorInfo info;
  const auto offset = count_of(graph_, arguments[1]);
  auto shape = integers(graph_, arguments[2]);
  auto strides = integers(graph_, arguments[3]);
  if (!offset || !shape || !strides || shape->size() != strides->size())
    return fail(malformed(node, "a tensor is rebuilt with unsound offset, size or stride"));
  info.dtype = dtype;
  info.storage = ref.storage;
  info.shape = std::move(*shape);
  info.strides = std::move(*strides);
  info.offset_elements = *offset;
  if (dtype == DType::kF4E2M1 && !unpack_pairs(&info))
    return fail(malformed(node, "a packed 4-bit tensor with strides inside its pairs"));
  // The view's own place counts in elements of the storage's type, the tensor's in its own.
  std::uint64_t base = ref.offset_elements;
  if (ref.offset_elements != 0 && ref.dtype != dtype) {
    const auto bytes = checked_mul(base, storage_element_bytes(ref.dtype));
    if (!bytes || *bytes % storage_element_bytes(dtype) != 0)
      return fail(malformed(node, "a view that begins inside an element"));
    base = *bytes / storage_element_bytes(dtype);
  }
  const auto begin = checked_add(info.offset_elements, base);
  if (!begin) return fail(malformed(node, "the tensor's offset leaves 64 bits"));
  info.offset_elements = *begin;
  return info;
}

Result<TensorInfo> TorchHooks::read_tensor(NodeId node, const Arguments& arguments,
                                           bool typed_by_argument, TensorIndex* index) {
  const std::size_t least = typed_by_argument ? 7 : 4;
  if (arguments.size() < least)
    return fail(malformed(node, "a tensor is rebuilt with too few arguments"));
  KILTER_ASSIGN(const StorageRef ref, storage(node, arguments[0], index));
  DType dtype = ref.dtype;
  if (typed_by_argument) {
    const auto stated = dtype_of(graph_, arguments[6]);
    if (!stated)
      return fail(Error(ErrorCode::kUnsupported, "tensor of an unknown dtype")
                      .at_offset(graph_[node].offset_bytes)
                      .wanted("a dtype of torch", pickle::render(graph_, arguments[6])));
    dtype = *stated;
  }
  KILTER_ASSIGN(TensorInfo info, view(node, arguments, ref, dtype));
  info.requires_grad = arguments.size() > 4 && truthy(graph_[arguments[4]]);
  // The last argument, where there is one: {"conj": True} or {"neg": True}.
  if (const std::size_t metadata = typed_by_argument ? 7 : 6; arguments.size() > metadata) {
    const Node& bits = graph_[arguments[metadata]];
    for (std::size_t i = 0; bits.kind == NodeKind::kDict && i + 1 < bits.items.size(); i += 2) {
      const auto key = text_of(graph_, bits.items[i]);
      if (key == "conj") info.conjugate = truthy(graph_[bits.items[i + 1]]);
      if (key == "neg") info.negative = truthy(graph_[bits.items[i + 1]]);
    }
  }
  return info;
}

TorchHooks::Lifted TorchHooks::tensor(const Call& call, bool typed_by_argument) {
  KILTER_ASSIGN(TensorInfo info,
                read_tensor(call.node, call.arguments, typed_by_argument, &call.lifter.index()));
  return call.lifter.add_tensor(std::move(info));
}

TorchHooks::Lifted TorchHooks::parameter(const Call& call) {
  if (call.arguments.size() < 2) return std::nullopt;
  if (const StateId id = call.tensor(0); id != kNoState) {
    call.draft(id).parameter = true;
    call.draft(id).requires_grad = truthy(call.at(1));
    return id;
  }
  if (call.lifted(0) == kNoState) return std::nullopt;
  return call.object(kRebuildParameter, {call.lifted(1)}, call.lifted(0));
}

TorchHooks::Lifted TorchHooks::parameter_with_state(const Call& call) {
  if (call.arguments.size() != 4) return std::nullopt;
  if (const StateId id = call.tensor(0); id != kNoState) {
    call.draft(id).parameter = true;
    call.draft(id).requires_grad = truthy(call.at(1));
  }
  if (call.lifted(0) == kNoState) return std::nullopt;
  return call.object(kRebuildParameterState, {call.lifted(1), call.lifted(3)}, call.lifted(0));
}

TorchHooks::Lifted TorchHooks::quantized(const Call& call) {
  if (call.arguments.size() < 6)
    return fail(call.malformed("a quantized tensor is rebuilt with too few arguments"));
  KILTER_ASSIGN(const StorageRef ref, storage(call.node, call.arguments[0], &call.lifter.index()));
  KILTER_ASSIGN(TensorInfo info, view(call.node, call.arguments, ref, ref.dtype));
  const Node& parameters = call.at(4);
  const std::size_t count = parameters.kind == NodeKind::kTuple ? parameters.items.size() : 0;
  if (count != 3 && count != 4)
    return fail(call.malformed("a quantized tensor is rebuilt with unsound parameters"));
  info.requires_grad = truthy(call.at(5));
  std::vector<StateId> parts;
  for (const NodeId item : parameters.items) parts.push_back(call.lifter.lifted(item));
  if (std::find(parts.begin(), parts.end(), kNoState) != parts.end()) return std::nullopt;
  const StateId values = call.lifter.add_tensor(std::move(info));
  if (count == 3)
    return call.object(kRebuildQuantized, {parts[0], parts[1], parts[2], call.lifted(5)}, values);
  return call.object(kRebuildQuantized, {parts[0], parts[3], call.lifted(5)}, values,
                     call.dict({{"scales", parts[1]}, {"zero_points", parts[2]}}));
}

TorchHooks::Lifted TorchHooks::sparse(const Call& call) {
  if (call.arguments.size() != 2 || call.at(1).kind != NodeKind::kTuple) return std::nullopt;
  // The layout's name: torch.sparse_coo, or _get_layout("torch.sparse_coo").
  const Node* layout = &call.at(0);
  if (layout->kind == NodeKind::kCall && layout->items.size() >= 2 &&
      graph_[layout->items[1]].items.size() == 1)
    layout = &graph_[graph_[layout->items[1]].items[0]];
  const std::string name =
      layout->kind == NodeKind::kGlobal ? layout->text + "." + layout->text2 : layout->text;
  std::vector<StateId> parts;
  for (const NodeId item : call.at(1).items) parts.push_back(call.lifter.lifted(item));
  if (std::find(parts.begin(), parts.end(), kNoState) != parts.end()) return std::nullopt;
  if (name == "torch.sparse_coo" && (parts.size() == 3 || parts.size() == 4)) {
    std::vector<StateId> items = {call.lifted(0), parts[2]};
    if (parts.size() == 4) items.push_back(parts[3]);
    return call.object(kRebuildSparse, std::move(items), kNoState,
                       call.dict({{"indices", parts[0]}, {"values", parts[1]}}));
  }
  if (parts.size() != 4) return std::nullopt;
  const bool rows = name == "torch.sparse_csr" || name == "torch.sparse_bsr";
  if (!rows && name != "torch.sparse_csc" && name != "torch.sparse_bsc") return std::nullopt;
  return call.object(kRebuildSparse, {call.lifted(0), parts[3]}, kNoState,
                     call.dict({{rows ? "crow_indices" : "ccol_indices", parts[0]},
                                {rows ? "col_indices" : "row_indices", parts[1]},
                                {"values", parts[2]}}));
}

TorchHooks::Lifted TorchHooks::device_tensor(const Call& call) {
  const StateId id = call.tensor(0);
  if (id == kNoState) return std::nullopt;
  TensorInfo& draft = call.draft(id);
  draft.requires_grad = call.has(3) && truthy(call.at(3));
  const auto dtype = call.has(1) ? dtype_of(graph_, call.arguments[1]) : std::nullopt;
  // numpy has no bfloat16: torch wrote such tensors as float32 and converts on loading. What is
  // stored is what we give; the call then stays to say what it was.
  if (dtype && *dtype != draft.dtype) return std::nullopt;
  return id;
}

TorchHooks::Lifted TorchHooks::from_type(const Call& call) {
  if (call.arguments.size() != 4 || call.at(0).kind != NodeKind::kGlobal ||
      call.at(2).kind != NodeKind::kTuple)
    return std::nullopt;
  const Call inner{call.lifter, graph_, call.node, call.at(2).items};
  const std::string function = call.at(0).text + "." + call.at(0).text2;
  KILTER_ASSIGN(const auto id, dispatch(inner, function));
  if (!id) return std::nullopt;
  const Node& state = call.at(3);
  const bool stateless =
      state.kind == NodeKind::kNone || (state.kind == NodeKind::kDict && state.items.empty());
  const bool plain = call.at(1).kind == NodeKind::kGlobal &&
                     (pickle::is_named(call.at(1), "torch.Tensor") ||
                      pickle::is_named(call.at(1), "torch.nn.parameter.Parameter"));
  if (stateless && plain) return id;
  return call.object(kRebuildFromType, {call.lifted(1), call.lifted(3)}, *id);
}

TorchHooks::Lifted TorchHooks::bare_storage(Lifter& lifter, NodeId node) {
  if (!bare_[node]) return std::nullopt;
  KILTER_ASSIGN(const auto request, read_storage_id(graph_, node));
  if (!request) return std::nullopt;
  KILTER_ASSIGN(const StorageRef ref, table_->resolve(*request, &lifter.index()));
  resolved_.emplace(node, ref);
  if (ref.element_count > static_cast<std::uint64_t>(INT64_MAX))
    return fail(Error(ErrorCode::kMalformed, "a storage of more than 2^63 elements")
                    .at_offset(graph_[node].offset_bytes));
  TensorInfo info;
  info.dtype = ref.dtype;
  info.storage = ref.storage;
  info.shape = {static_cast<std::int64_t>(ref.element_count)};
  info.strides = {1};
  info.offset_elements = ref.offset_elements;
  return lifter.add_tensor(std::move(info));
}

}  // namespace kilter::torch
