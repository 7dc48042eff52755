#include "formats/pickle/lift.h"

#include <cstring>
#include <memory>
#include <unordered_map>
#include <utility>
#include <variant>

#include "base/try.h"
#include "formats/pickle/joblib.h"
#include "formats/pickle/lift_names.h"
#include "formats/pickle/lift_numpy.h"
#include "formats/pickle/opcodes.h"

namespace kilter::pickle {
namespace {

StateNode state_node(StateKind kind) {
  StateNode node;
  node.kind = kind;
  return node;
}

StateNode text_node(StateKind kind, std::string text) {
  StateNode node = state_node(kind);
  node.text = std::move(text);
  return node;
}

/// What the bytes of a numpy array become: left in the file, or copied.
struct StorageKey {
  NodeId data;
  bool big_endian;
  bool operator==(const StorageKey&) const = default;
};
struct StorageKeyHash {
  std::size_t operator()(const StorageKey& key) const {
    return std::hash<std::uint64_t>()(std::uint64_t{key.data} * 2 + (key.big_endian ? 1 : 0));
  }
};

class GraphLifter final : public Lifter {
 public:
  GraphLifter(const Graph& graph, LiftHooks* hooks, CheckpointData* out)
      : graph_(graph), hooks_(hooks), out_(*out) {
    lifted_.assign(graph.nodes.size(), kNoState);
    open_.assign(graph.nodes.size(), false);
  }

  const Graph& graph() const override { return graph_; }
  StateTree& tree() override { return out_.state; }
  TensorIndex& index() override { return out_.index; }
  StateId lifted(NodeId node) const override { return lifted_[node]; }
  StateId add_tensor(TensorDraft draft) override {
    out_.index.tensors.push_back(std::move(draft));
    StateNode node = state_node(StateKind::kTensor);
    node.integer = static_cast<std::int64_t>(out_.index.tensors.size() - 1);
    return tree().add(std::move(node));
  }

  Status run(NodeId root) {
    KILTER_TRY(open(root));
    while (!frames_.empty()) {
      Frame& frame = frames_.back();
      const NodeId child = next_child(&frame);
      if (child != kNoNode) {
        KILTER_TRY(open(child));
      } else if (frame.stage == Stage::kOperands) {
        frame.stage = Stage::kAdditions;  // before finish(), which may not keep `frame`
        frame.next = 0;
        KILTER_TRY(finish(frame.node));
      } else {
        const Frame done = frame;
        frames_.pop_back();
        open_[done.node] = false;
        if (done.elements == kNoNode) add_later_parts(done.node);
      }
    }
    tree().set_root(lifted_[root]);
    return ok();
  }

 private:
  enum class Stage : std::uint8_t { kOperands, kAdditions };
  struct Frame {
    NodeId node = kNoNode;
    Stage stage = Stage::kOperands;
    std::size_t next = 0;
    NodeId elements = kNoNode;  // of an array of objects: the only operand
  };

  /// Lifts leaves at once; begins a frame for everything else.
  Status open(NodeId id) {
    if (lifted_[id] != kNoState || open_[id]) return ok();
    const Node& node = graph_[id];
    if (auto leaf = lift_leaf(id)) {
      lifted_[id] = tree().add(std::move(*leaf));
      return check_additions(node);
    }
    KILTER_TRY(check_additions(node));
    Frame frame;
    frame.node = id;
    switch (node.kind) {
      case NodeKind::kList:
        lifted_[id] = tree().add(state_node(StateKind::kList));
        break;
      case NodeKind::kTuple:
        lifted_[id] = tree().add(state_node(StateKind::kTuple));
        break;
      case NodeKind::kDict:
        lifted_[id] = tree().add(state_node(StateKind::kDict));
        break;
      case NodeKind::kSet:
        lifted_[id] = tree().add(state_node(StateKind::kSet));
        break;
      case NodeKind::kFrozenSet:
        lifted_[id] = tree().add(text_node(StateKind::kSet, "frozenset"));
        break;
      default:
        KILTER_TRY(lift_numpy(id, &frame.elements));
    }
    // A tensor made of an array needs none of its operands as values.
    if (node.kind == NodeKind::kCall && lifted_[id] != kNoState && frame.elements == kNoNode) {
      return ok();
    }
    open_[id] = true;
    frames_.push_back(frame);
    return ok();
  }

  /// What real unpicklers refuse too, and what could change something outside the pickle.
  static Status check_additions(const Node& node) {
    const bool grows = !node.appended.empty() || !node.set_items.empty();
    if (!grows && node.states.empty()) return ok();
    if (node.kind == NodeKind::kGlobal || node.kind == NodeKind::kExtension) {
      return fail(Error(ErrorCode::kUnsafe, "the pickle changes a class or function, not an object")
                      .at_offset(node.offset_bytes));
    }
    if (node.kind == NodeKind::kCall || node.kind == NodeKind::kPersistentId) return ok();
    return fail(Error(ErrorCode::kMalformed, "the pickle sets attributes or items on a plain value")
                    .at_offset(node.offset_bytes));
  }

  std::optional<StateNode> lift_leaf(NodeId id) const {
    const Node& node = graph_[id];
    StateNode out;
    switch (node.kind) {
      case NodeKind::kNone:
        return state_node(StateKind::kNone);
      case NodeKind::kBool:
        out.kind = StateKind::kBool;
        break;
      case NodeKind::kInt:
        out.kind = StateKind::kInt;
        break;
      case NodeKind::kFloat:
        out.kind = StateKind::kFloat;
        break;
      case NodeKind::kBigInt:
        return text_node(StateKind::kBigInt, node.text);
      case NodeKind::kString:
        return text_node(StateKind::kString, node.text);
      case NodeKind::kBytes:
        return text_node(StateKind::kBytes, node.text);
      case NodeKind::kGlobal:
        return text_node(StateKind::kGlobal, global_name(id));
      case NodeKind::kExtension:
        return text_node(StateKind::kObject, "copyreg.extension");
      case NodeKind::kBuffer:
        return text_node(StateKind::kObject, "out-of-band buffer");
      case NodeKind::kCall:
        return lift_literal_call(id);
      default:
        return std::nullopt;
    }
    out.integer = node.integer;
    out.number = node.number;
    return out;
  }

  std::string global_name(NodeId id) const {
    return graph_[id].items.empty() ? qualified_name(graph_[id]) : render(graph_, id);
  }

  /// Calls that only write a plain value down.
  std::optional<StateNode> lift_literal_call(NodeId id) const {
    const Node& node = graph_[id];
    if (!node.states.empty() || !node.appended.empty() || !node.set_items.empty()) return {};
    if (graph_[node.items[0]].kind != NodeKind::kGlobal) return {};
    if (is_call_of(graph_, id, "builtins.complex")) {
      const auto& parts = call_arguments(graph_, node);
      if (parts.size() != 2 || graph_[parts[0]].kind != NodeKind::kFloat ||
          graph_[parts[1]].kind != NodeKind::kFloat) {
        return {};
      }
      StateNode out = state_node(StateKind::kComplex);
      out.number = graph_[parts[0]].number;
      out.imaginary = graph_[parts[1]].number;
      return out;
    }
    if (auto bytes = literal_bytes(graph_, id)) {
      return text_node(StateKind::kBytes, std::move(*bytes));
    }
    return {};
  }

  Status lift_numpy(NodeId id, NodeId* elements) {
    if (graph_[id].kind != NodeKind::kCall) return ok();
    if (is_joblib_wrapper(graph_, id)) return lift_joblib(id, elements);
    KILTER_ASSIGN(const NumpyValue value, read_numpy(graph_, id));
    if (const auto* array = std::get_if<NumpyArray>(&value)) {
      lifted_[id] = add_array(*array);
    } else if (const auto* objects = std::get_if<NumpyObjectArray>(&value)) {
      StateNode shape = state_node(StateKind::kTuple);
      for (const std::int64_t size : objects->shape) {
        StateNode number = state_node(StateKind::kInt);
        number.integer = size;
        shape.items.push_back(tree().add(std::move(number)));
      }
      StateNode object = text_node(StateKind::kObject, "numpy.ndarray");
      object.items = {tree().add(std::move(shape))};
      lifted_[id] = tree().add(std::move(object));
      *elements = objects->elements;
    }
    return ok();
  }

  /// An array whose bytes lie raw between the opcodes, or the pickled array of objects behind it.
  Status lift_joblib(NodeId id, NodeId* elements) {
    const Node& node = graph_[id];
    const auto file = hooks_ == nullptr ? std::nullopt : hooks_->verbatim_file();
    const auto wrapped = read_joblib_wrapper(graph_, id);
    if (!wrapped) return ok();
    if (node.appended.size() == 1) {
      *elements = node.appended[0];
    } else if (file && node.integer != 0 && wrapped->has_dtype) {
      StorageInfo storage;
      storage.file = *file;
      storage.offset_bytes = static_cast<std::uint64_t>(node.integer);
      storage.bytes = storage.stored_bytes = wrapped->raw_bytes;
      storage.big_endian = wrapped->array.big_endian;
      out_.index.storages.push_back(std::move(storage));
      lifted_[id] = add_tensor(
          make_draft(wrapped->array, static_cast<std::uint32_t>(out_.index.storages.size() - 1)));
    }
    return ok();
  }

  static TensorDraft make_draft(const NumpyArray& array, std::uint32_t storage) {
    TensorDraft draft;
    draft.dtype = array.dtype;
    draft.shape = array.shape;
    draft.strides = contiguous_strides(array.shape);
    if (array.fortran_order) {
      const std::vector<std::int64_t> turned(array.shape.rbegin(), array.shape.rend());
      const auto strides = contiguous_strides(turned);
      draft.strides.assign(strides.rbegin(), strides.rend());
    }
    draft.storage = storage;
    return draft;
  }

  StateId add_array(const NumpyArray& array) {
    return add_tensor(make_draft(array, storage_of(array)));
  }

  std::uint32_t storage_of(const NumpyArray& array) {
    const auto [known, is_new] = storages_.try_emplace(
        {array.data, array.big_endian}, static_cast<std::uint32_t>(out_.index.storages.size()));
    if (!is_new) return known->second;
    StorageInfo storage;
    storage.bytes = array.bytes;
    storage.big_endian = array.big_endian;
    const Node& data = graph_[array.data];
    const auto file = hooks_ == nullptr ? std::nullopt : hooks_->verbatim_file();
    const auto offset = data.kind == NodeKind::kCall ? std::nullopt : payload_offset(data);
    if (file && offset) {
      storage.file = *file;
      storage.offset_bytes = *offset;
      storage.stored_bytes = array.bytes;
    } else {
      storage.coding = StorageCoding::kInline;
      const std::string raw = literal_bytes(graph_, array.data).value_or(std::string());
      auto copy = std::make_shared<std::vector<std::byte>>(raw.size());
      if (!raw.empty()) std::memcpy(copy->data(), raw.data(), raw.size());
      storage.inline_bytes = std::move(copy);
    }
    out_.index.storages.push_back(std::move(storage));
    return known->second;
  }

  NodeId next_child(Frame* frame) const {
    const Node& node = graph_[frame->node];
    std::size_t at = frame->next++;
    if (frame->stage == Stage::kOperands) {
      if (frame->elements != kNoNode) return at == 0 ? frame->elements : kNoNode;
      return at < node.items.size() ? node.items[at] : kNoNode;
    }
    if (frame->elements != kNoNode) return kNoNode;
    for (const auto* list : {&node.states, &node.appended, &node.set_items}) {
      if (at < list->size()) return (*list)[at];
      at -= list->size();
    }
    return kNoNode;
  }

  /// What `id` became; a stand-in where it contains itself through a call's own arguments.
  StateId value_of(NodeId id) {
    if (lifted_[id] != kNoState) return lifted_[id];
    if (recursive_ == kNoState) {
      recursive_ = tree().add(text_node(StateKind::kObject, "recursive reference"));
    }
    return recursive_;
  }

  std::vector<StateId> values_of(const std::vector<NodeId>& nodes) {
    std::vector<StateId> out;
    out.reserve(nodes.size());
    for (const NodeId node : nodes) out.push_back(value_of(node));
    return out;
  }

  /// All operands are lifted: fills a container, or makes what a call stands for.
  Status finish(NodeId id) {
    const Node& node = graph_[id];
    if (frames_.back().elements != kNoNode) {
      const StateId elements = value_of(frames_.back().elements);
      if (lifted_[id] == kNoState) {
        lifted_[id] = elements;  // joblib's wrapper stands for the array behind it
      } else {
        tree()[lifted_[id]].extra = elements;
      }
      return ok();
    }
    if (lifted_[id] != kNoState) {
      std::vector<StateId> items = values_of(node.items);
      tree()[lifted_[id]].items = std::move(items);
      return ok();
    }
    if (node.kind == NodeKind::kByteArray) {
      StateNode object = text_node(StateKind::kObject, "builtins.bytearray");
      object.items = {tree().add(text_node(StateKind::kBytes, node.text))};
      lifted_[id] = tree().add(std::move(object));
      return ok();
    }
    if (hooks_ != nullptr) {
      KILTER_ASSIGN(const std::optional<StateId> own, hooks_->lift(*this, id));
      if (own) {
        lifted_[id] = *own;
        return ok();
      }
    }
    StateNode object = node.kind == NodeKind::kCall ? make_object(id) : make_persistent(node);
    lifted_[id] = tree().add(std::move(object));
    return ok();
  }

  StateNode make_persistent(const Node& node) {
    StateNode object = text_node(StateKind::kObject, "persistent_id");
    object.items = values_of(node.items);
    return object;
  }

  StateNode make_object(NodeId id) {
    const Node& node = graph_[id];
    const Node& callable = graph_[node.items[0]];
    StateNode object = text_node(StateKind::kObject, {});
    object.text = callable.kind == NodeKind::kGlobal ? global_name(node.items[0])
                                                     : render(graph_, node.items[0]);
    if (callable.kind != NodeKind::kGlobal) object.items.push_back(value_of(node.items[0]));
    const auto& arguments = call_arguments(graph_, node);
    if (make_known(node, object.text, arguments, &object)) return object;
    if (graph_[node.items[1]].kind == NodeKind::kTuple) {
      const auto values = values_of(arguments);
      object.items.insert(object.items.end(), values.begin(), values.end());
    } else {
      object.items.push_back(value_of(node.items[1]));
    }
    if (node.items.size() > 2) object.items.push_back(value_of(node.items[2]));
    return object;
  }

  /// Constructors of plain containers and objects. True if `object` is made.
  bool make_known(const Node& node, const std::string& name, const std::vector<NodeId>& arguments,
                  StateNode* object) {
    if (node.items.size() > 2) return false;
    if (name == "copyreg._reconstructor" || name == "copyreg.__newobj__") {
      return make_instance(name, arguments, object);
    }
    if (arguments.size() != 1) return false;
    const Node& argument = graph_[arguments[0]];
    const bool listed = argument.kind == NodeKind::kList || argument.kind == NodeKind::kTuple;
    if (name == "builtins.set" || name == "builtins.frozenset") {
      if (!listed) return false;
      *object = text_node(StateKind::kSet, name == "builtins.set" ? "" : "frozenset");
      object->items = values_of(argument.items);
      return true;
    }
    const bool mapping = name == "collections.OrderedDict" || name == "collections.Counter" ||
                         name == "builtins.dict";
    return mapping && make_mapping(argument, object);
  }

  bool make_instance(const std::string& name, const std::vector<NodeId>& arguments,
                     StateNode* object) {
    if (arguments.empty() || graph_[arguments[0]].kind != NodeKind::kGlobal) return false;
    if (name == "copyreg._reconstructor") {
      if (arguments.size() != 3 || graph_[arguments[1]].kind != NodeKind::kGlobal) return false;
      if (global_name(arguments[1]) != "builtins.object") return false;
      object->text = global_name(arguments[0]);
      return true;
    }
    object->text = global_name(arguments[0]);
    for (std::size_t i = 1; i < arguments.size(); ++i) {
      object->items.push_back(value_of(arguments[i]));
    }
    return true;
  }

  /// Entries given to the constructor: a dict, or a list of pairs as Python 2 wrote OrderedDicts.
  bool make_mapping(const Node& argument, StateNode* object) {
    StateNode entries = state_node(StateKind::kDict);
    if (argument.kind == NodeKind::kDict) {
      entries.items = values_of(argument.items);
    } else if (argument.kind == NodeKind::kList) {
      for (const NodeId pair : argument.items) {
        const Node& node = graph_[pair];
        if (node.kind != NodeKind::kList && node.kind != NodeKind::kTuple) return false;
        if (node.items.size() != 2) return false;
        entries.items.push_back(value_of(node.items[0]));
        entries.items.push_back(value_of(node.items[1]));
      }
    } else {
      return false;
    }
    object->extra = tree().add(std::move(entries));
    return true;
  }

  /// States and later entries are lifted too: sets them on what `id` became.
  void add_later_parts(NodeId id) {
    const Node& node = graph_[id];
    const StateId state = lifted_[id];
    if (state == kNoState) return;
    if (node.states.size() == 1) {
      tree()[state].state = value_of(node.states[0]);
    } else if (!node.states.empty()) {
      StateNode all = state_node(StateKind::kList);
      all.items = values_of(node.states);
      const StateId list = tree().add(std::move(all));
      tree()[state].state = list;
    }
    if (!node.set_items.empty()) {
      append_extra(state, StateKind::kDict, values_of(node.set_items));
    } else if (!node.appended.empty()) {
      append_extra(state, StateKind::kList, values_of(node.appended));
    }
    if (!node.set_items.empty() && !node.appended.empty()) {
      StateNode list = state_node(StateKind::kList);
      list.items = values_of(node.appended);
      const StateId key = tree().add(text_node(StateKind::kString, "appended"));
      const StateId value = tree().add(std::move(list));
      append_extra(state, StateKind::kDict, {key, value});
    }
  }

  void append_extra(StateId state, StateKind kind, const std::vector<StateId>& values) {
    if (tree()[state].extra == kNoState) {
      const StateId extra = tree().add(state_node(kind));
      tree()[state].extra = extra;
    }
    auto& items = tree()[tree()[state].extra].items;
    items.insert(items.end(), values.begin(), values.end());
  }

  const Graph& graph_;
  LiftHooks* hooks_;
  CheckpointData& out_;
  std::vector<StateId> lifted_;
  std::vector<bool> open_;
  std::vector<Frame> frames_;
  std::unordered_map<StorageKey, std::uint32_t, StorageKeyHash> storages_;
  StateId recursive_ = kNoState;
};

}  // namespace

Status lift(const Graph& graph, NodeId root, LiftHooks* hooks, CheckpointData* out) {
  if (root >= graph.nodes.size()) {
    return fail(ErrorCode::kMalformed, "the pickle leaves no value behind");
  }
  KILTER_TRY(GraphLifter(graph, hooks, out).run(root));
  return name_tensors(out);
}

}  // namespace kilter::pickle
