#include "formats/torch/state_writer.h"

#include <algorithm>
#include <array>

#include "base/try.h"
#include "formats/torch/rebuild.h"
#include "formats/torch/substitutes.h"
#include "formats/torch/tensor_writer.h"

namespace kilter::torch {
namespace {

/// Latin-1 bytes as UTF-8 text: how protocol 2 holds bytes.
std::string latin1_text(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      out += c;
    } else {
      out += static_cast<char>(0xc0 | byte >> 6);
      out += static_cast<char>(0x80 | (byte & 0x3f));
    }
  }
  return out;
}

/// Writes a tree with a work list: nothing here calls itself.
class StateWriter {
 public:
  StateWriter(const TensorWriter& tensors, const StateTree& state,
              const std::vector<std::string>& names)
      : tensors_(tensors), state_(state), names_(names) {
    memo_.assign(state.size(), kNotPut);
    open_.assign(state.size(), false);
    mentioned_.assign(tensors.views().size(), false);
  }

  Result<std::string> run() {
    if (state_.empty()) {
      out_.empty_dict();
      add_rest();
    } else if (root_is_dict()) {
      KILTER_TRY(write(state_.root()));
      add_rest();
    } else {
      KILTER_TRY(wrap());
    }
    out_.stop();
    return out_.take();
  }

 private:
  enum class Verb : std::uint8_t {
    kNode,
    kKey,    ///< a node where a hashable value is due
    kClose,  ///< the node is complete: into the memo
    kMark,
    kTuple,
    kAppends,
    kSetItems,
    kReduce,
    kBuild,
    kGlobal,   ///< `text`
    kString,   ///< `text`
    kNoHooks,  ///< OrderedDict()
    kEmptyDict,
    kEmptyList,
    kView,       ///< the four view arguments of quantized tensor `node`
    kArguments,  ///< all arguments of the call that rebuilds tensor `node`, as a tuple
  };
  struct Step {
    Verb verb;
    StateId node = kNoState;
    std::string text;
  };
  using Steps = std::vector<Step>;
  static constexpr std::uint32_t kNotPut = 0xffffffffU;

  bool root_is_dict() const {
    const StateNode& root = state_[state_.root()];
    if (root.kind == StateKind::kDict) return true;
    return root.kind == StateKind::kObject && root.text == "collections.OrderedDict" &&
           !substitute_reason(state_, state_.root());
  }

  /// Tensors that the state does not mention; the dictionary they go to is on top.
  void add_rest() {
    bool any = false;
    for (std::size_t i = 0; i < mentioned_.size(); ++i) {
      if (is_mentioned(i)) continue;
      if (!any) out_.mark();
      any = true;
      out_.string(tensors_.views()[i].name);
      tensors_.write(i, &out_);
    }
    if (any) out_.set_items();
  }

  /// A tensor with several names is written once, under one of them.
  bool is_mentioned(std::size_t view) const {
    if (mentioned_[view]) return true;
    const auto found = mentioned_outputs_.find(tensors_.views()[view].output);
    if (found == mentioned_outputs_.end()) return false;
    return std::any_of(found->second.begin(), found->second.end(),
                       [&](std::size_t other) { return tensors_.same(view, other); });
  }

  Status wrap() {
    const PickleWriter before = out_;
    KILTER_TRY(write(state_.root()));
    bool complete = true;
    for (std::size_t i = 0; i < mentioned_.size(); ++i) complete = complete && is_mentioned(i);
    if (complete) return ok();
    out_ = before;
    std::fill(memo_.begin(), memo_.end(), kNotPut);
    out_.empty_dict();
    out_.mark();
    out_.string("state");
    KILTER_TRY(write(state_.root()));
    out_.string("tensors");
    out_.empty_dict();
    add_rest();
    out_.set_items();
    return ok();
  }

  Status write(StateId root) {
    todo_.push_back({Verb::kNode, root, {}});
    while (!todo_.empty()) {
      Step step = std::move(todo_.back());
      todo_.pop_back();
      KILTER_TRY(take(step));
    }
    return ok();
  }

  void later(Steps steps) {
    for (auto step = steps.rbegin(); step != steps.rend(); ++step)
      todo_.push_back(std::move(*step));
  }

  Status take(const Step& step) {
    switch (step.verb) {
      case Verb::kNode:
        return node(step.node);
      case Verb::kKey:
        if (is_hashable(state_, step.node)) return node(step.node);
        out_.string(key_text(step.node));
        return ok();
      case Verb::kClose:
        open_[step.node] = false;
        memo_[step.node] = out_.put();
        return ok();
      case Verb::kMark:
        return out_.mark(), ok();
      case Verb::kTuple:
        return out_.tuple(), ok();
      case Verb::kAppends:
        return out_.appends(), ok();
      case Verb::kSetItems:
        return out_.set_items(), ok();
      case Verb::kReduce:
        return out_.reduce(), ok();
      case Verb::kBuild:
        return out_.build(), ok();
      case Verb::kGlobal:
        return out_.global(step.text), ok();
      case Verb::kString:
        return out_.string(step.text), ok();
      case Verb::kEmptyDict:
        return out_.empty_dict(), ok();
      case Verb::kEmptyList:
        return out_.empty_list(), ok();
      case Verb::kNoHooks:
        out_.global("collections.OrderedDict");
        out_.empty_tuple();
        out_.reduce();
        return ok();
      case Verb::kArguments:
        mention(view_of(state_[step.node]));
        tensors_.write_arguments(view_of(state_[step.node]), &out_);
        return ok();
      case Verb::kView:
        mention(view_of(state_[step.node]));
        tensors_.write_view(view_of(state_[step.node]), true, &out_);
        return ok();
    }
    return ok();
  }

  /// What stands for a key that is no value of Python's own: unique by the node's number.
  std::string key_text(StateId id) const {
    const StateNode& node = state_[id];
    const std::string name = node.kind == StateKind::kObject || node.kind == StateKind::kGlobal
                                 ? node.text
                                 : std::string("key");
    return name + "#" + std::to_string(id);
  }

  Status node(StateId id) {
    const StateNode& n = state_[id];
    if (memo_[id] != kNotPut) return out_.get(memo_[id]), ok();
    if (open_[id])
      return fail(Error(ErrorCode::kUnsupported,
                        "a tuple or object that contains itself cannot be written"));
    switch (n.kind) {
      case StateKind::kNone:
        return out_.none(), ok();
      case StateKind::kBool:
        return out_.boolean(n.integer != 0), ok();
      case StateKind::kInt:
        return out_.integer(n.integer), ok();
      case StateKind::kFloat:
        return out_.number(n.number), ok();
      case StateKind::kString:
        if (n.text.size() > UINT32_MAX)
          return fail(ErrorCode::kUnsupported, "a string of more than 4 GiB");
        return out_.string(n.text), ok();
      case StateKind::kBigInt:
        return big_integer(n), ok();
      case StateKind::kComplex:
        return complex(n), ok();
      case StateKind::kBytes:
        return bytes(n);
      case StateKind::kGlobal:
        return global(id, n), ok();
      case StateKind::kTensor:
        return tensor(id, n);
      case StateKind::kObject:
        return object(id, n);
      default:
        return container(id, n), ok();
    }
  }

  void big_integer(const StateNode& n) {
    if (n.text.size() <= kBigIntDigitsMax) return out_.big_integer(n.text);
    out_.empty_dict();
    out_.mark();
    out_.string("__class__");
    out_.string("builtins.int");
    out_.string("args");
    out_.mark();
    out_.string(n.text);
    out_.tuple();
    out_.set_items();
  }

  void complex(const StateNode& n) {
    out_.global("builtins.complex");
    out_.mark();
    out_.number(n.number);
    out_.number(n.imaginary);
    out_.tuple();
    out_.reduce();
  }

  Status bytes(const StateNode& n) {
    const std::string text = latin1_text(n.text);
    if (text.size() > UINT32_MAX) return fail(ErrorCode::kUnsupported, "more than 4 GiB of bytes");
    out_.global("_codecs.encode");
    out_.mark();
    out_.string(text);
    out_.name("latin1");
    out_.tuple();
    out_.reduce();
    return ok();
  }

  void global(StateId id, const StateNode& n) {
    if (!substitute_reason(state_, id)) return out_.global(n.text);
    out_.empty_dict();
    out_.mark();
    out_.string("__global__");
    out_.string(n.text);
    out_.set_items();
  }

  void container(StateId id, const StateNode& n) {
    Steps steps;
    if (n.kind == StateKind::kDict || n.kind == StateKind::kList) {
      // Into the memo before its items: they may refer to it.
      n.kind == StateKind::kDict ? out_.empty_dict() : out_.empty_list();
      memo_[id] = out_.put();
      if (n.items.empty()) return;
      steps = items_of(n);
      steps.push_back({n.kind == StateKind::kDict ? Verb::kSetItems : Verb::kAppends, id, {}});
      return later(std::move(steps));
    }
    open_[id] = true;
    if (n.kind == StateKind::kSet) {
      steps = {
          {Verb::kGlobal, id, "builtins.set"}, {Verb::kMark, id, {}}, {Verb::kEmptyList, id, {}}};
      if (!n.items.empty()) {
        auto items = items_of(n);
        std::move(items.begin(), items.end(), std::back_inserter(steps));
        steps.push_back({Verb::kAppends, id, {}});
      }
      steps.push_back({Verb::kTuple, id, {}});
      steps.push_back({Verb::kReduce, id, {}});
    } else {
      steps = items_of(n);
      steps.push_back({Verb::kTuple, id, {}});
    }
    steps.push_back({Verb::kClose, id, {}});
    later(std::move(steps));
  }

  /// MARK and the items, keys and members of sets as hashable values.
  Steps items_of(const StateNode& n) const {
    Steps steps = {{Verb::kMark, kNoState, {}}};
    for (std::size_t i = 0; i < n.items.size(); ++i) {
      const bool key = n.kind == StateKind::kSet || (n.kind == StateKind::kDict && i % 2 == 0);
      steps.push_back({key ? Verb::kKey : Verb::kNode, n.items[i], {}});
    }
    return steps;
  }

  std::size_t view_of(const StateNode& n) const {
    const auto number = static_cast<std::uint64_t>(n.integer);
    return number < names_.size() ? tensors_.find(names_[number]) : TensorWriter::kNoView;
  }

  void mention(std::size_t view) {
    if (mentioned_[view]) return;
    mentioned_[view] = true;
    mentioned_outputs_[tensors_.views()[view].output].push_back(view);
  }

  Status tensor(StateId id, const StateNode& n) {
    const std::size_t view = view_of(n);
    if (view == TensorWriter::kNoView) return out_.none(), ok();  // left out by the plan
    mention(view);
    tensors_.write(view, &out_);
    memo_[id] = out_.put();
    return ok();
  }

  Status object(StateId id, const StateNode& n) {
    open_[id] = true;
    Steps steps;
    if (const auto reason = substitute_reason(state_, id); reason && n.text != kRebuildFromType) {
      open_[id] = false;
      steps = substitute(id, n);
    } else if (n.text == "collections.OrderedDict") {
      open_[id] = false;
      steps = ordered_dict(id, n);
    } else {
      KILTER_ASSIGN(steps, call(id, n));
      steps.push_back({Verb::kReduce, id, {}});
      steps.push_back({Verb::kClose, id, {}});
    }
    later(std::move(steps));
    return ok();
  }

  Steps substitute(StateId id, const StateNode& n) {
    out_.empty_dict();
    memo_[id] = out_.put();
    Steps steps = {
        {Verb::kMark, id, {}}, {Verb::kString, id, "__class__"}, {Verb::kString, id, n.text}};
    if (!n.items.empty()) {
      steps.push_back({Verb::kString, id, "args"});
      steps.push_back({Verb::kMark, id, {}});
      for (const StateId item : n.items) steps.push_back({Verb::kNode, item, {}});
      steps.push_back({Verb::kTuple, id, {}});
    }
    for (const auto& [key, part] : {std::pair{"state", n.state}, {"items", n.extra}}) {
      if (part == kNoState) continue;
      steps.push_back({Verb::kString, id, key});
      steps.push_back({Verb::kNode, part, {}});
    }
    steps.push_back({Verb::kSetItems, id, {}});
    return steps;
  }

  Steps ordered_dict(StateId id, const StateNode& n) {
    out_.global(n.text);
    out_.empty_tuple();
    out_.reduce();
    memo_[id] = out_.put();
    Steps steps;
    if (n.extra != kNoState && !state_[n.extra].items.empty()) {
      steps = items_of(state_[n.extra]);
      steps.push_back({Verb::kSetItems, id, {}});
    }
    if (n.state != kNoState) {
      steps.push_back({Verb::kNode, n.state, {}});
      steps.push_back({Verb::kBuild, id, {}});
    }
    return steps;
  }

  StateId entry(const StateNode& n, std::string_view key) const {
    return n.extra == kNoState ? kNoState : state_.find(n.extra, key);
  }

  /// The callable and its arguments, up to where REDUCE is due.
  Result<Steps> call(StateId id, const StateNode& n) {
    std::string name = n.text;
    Steps arguments;
    const auto value = [&](StateId part) { arguments.push_back({Verb::kNode, part, {}}); };
    const auto verb = [&](Verb v) { arguments.push_back({v, id, {}}); };
    const Error odd(ErrorCode::kInvalidArgument, "state of " + n.text + " lacks a part");
    if (n.text == kRebuildFromType) return from_type(id, n, odd);
    if (n.text == kRebuildQuantized) {
      KILTER_TRY(quantized(n, odd, &arguments));
    } else if (n.text == kRebuildSparse) {
      KILTER_TRY(sparse(n, odd, &arguments));
    } else if (n.text == kRebuildParameter || n.text == kRebuildParameterState) {
      if (n.state == kNoState || n.items.empty()) return fail(odd);
      value(n.state);
      value(n.items[0]);
      verb(Verb::kNoHooks);
      for (std::size_t i = 1; i < n.items.size(); ++i) value(n.items[i]);
    } else if (n.text == "collections.Counter") {
      if (n.extra == kNoState) {
        verb(Verb::kEmptyDict);
      } else {
        value(n.extra);
      }
    } else {
      // A numpy array became a tensor here; the sibling that takes a tensor does the same.
      if (name == "torch._utils._rebuild_device_tensor_from_numpy")
        name = "torch._utils._rebuild_device_tensor_from_cpu_tensor";
      for (const StateId item : n.items) value(item);
    }
    Steps steps = {{Verb::kGlobal, id, name}, {Verb::kMark, id, {}}};
    std::move(arguments.begin(), arguments.end(), std::back_inserter(steps));
    steps.push_back({Verb::kTuple, id, {}});
    return steps;
  }

  /// storage, offset, size, stride, (scheme, …), requires_grad, hooks
  Status quantized(const StateNode& n, const Error& odd, Steps* steps) const {
    if (n.state == kNoState || state_[n.state].kind != StateKind::kTensor ||
        view_of(state_[n.state]) == TensorWriter::kNoView)
      return fail(odd);
    const StateId scales = entry(n, "scales");
    const StateId zeros = entry(n, "zero_points");
    const bool by_channel = scales != kNoState && zeros != kNoState;
    if (n.items.size() != (by_channel ? 3U : 4U)) return fail(odd);
    steps->push_back({Verb::kView, n.state, {}});
    steps->push_back({Verb::kMark, kNoState, {}});
    steps->push_back({Verb::kNode, n.items[0], {}});
    if (by_channel) {
      steps->push_back({Verb::kNode, scales, {}});
      steps->push_back({Verb::kNode, zeros, {}});
    } else {
      steps->push_back({Verb::kNode, n.items[1], {}});
    }
    steps->push_back({Verb::kNode, n.items[by_channel ? 1 : 2], {}});
    steps->push_back({Verb::kTuple, kNoState, {}});
    steps->push_back({Verb::kNode, n.items.back(), {}});
    steps->push_back({Verb::kNoHooks, kNoState, {}});
    return ok();
  }

  /// layout, (components …, size[, is_coalesced])
  Status sparse(const StateNode& n, const Error& odd, Steps* steps) const {
    if (n.items.size() < 2 || n.extra == kNoState || state_[n.extra].kind != StateKind::kDict)
      return fail(odd);
    steps->push_back({Verb::kNode, n.items[0], {}});
    steps->push_back({Verb::kMark, kNoState, {}});
    const StateNode& parts = state_[n.extra];
    for (std::size_t i = 1; i < parts.items.size(); i += 2)
      steps->push_back({Verb::kNode, parts.items[i], {}});
    for (std::size_t i = 1; i < n.items.size(); ++i)
      steps->push_back({Verb::kNode, n.items[i], {}});
    steps->push_back({Verb::kTuple, kNoState, {}});
    return ok();
  }

  /// function, class, its arguments, attributes
  Result<Steps> from_type(StateId id, const StateNode& n, const Error& odd) {
    if (n.state == kNoState || n.items.size() != 2) return fail(odd);
    const StateNode& inner = state_[n.state];
    Steps steps = {{Verb::kGlobal, id, n.text}, {Verb::kMark, id, {}}};
    Steps made;
    if (inner.kind == StateKind::kTensor && view_of(inner) != TensorWriter::kNoView) {
      made = {{Verb::kGlobal, id, std::string(tensors_.function(view_of(inner)))},
              {Verb::kArguments, n.state, {}}};
    } else if (inner.kind == StateKind::kObject &&
               (inner.text == kRebuildQuantized || inner.text == kRebuildSparse)) {
      KILTER_ASSIGN(made, call(n.state, inner));
    } else {
      return fail(odd);
    }
    steps.push_back(std::move(made.front()));
    // Attributes stay, a class that loading would refuse becomes torch.Tensor.
    const StateNode& type = state_[n.items[0]];
    const bool known = type.kind == StateKind::kGlobal && is_allowed_global(type.text);
    steps.push_back({Verb::kGlobal, id, known ? type.text : std::string("torch.Tensor")});
    std::move(made.begin() + 1, made.end(), std::back_inserter(steps));
    steps.push_back({Verb::kNode, n.items[1], {}});
    steps.push_back({Verb::kTuple, id, {}});
    return steps;
  }

  const TensorWriter& tensors_;
  const StateTree& state_;
  const std::vector<std::string>& names_;
  PickleWriter out_;
  Steps todo_;
  std::vector<std::uint32_t> memo_;
  std::vector<bool> open_;
  std::vector<bool> mentioned_;
  std::unordered_map<std::size_t, std::vector<std::size_t>> mentioned_outputs_;
};

}  // namespace

Result<std::string> write_data_pickle(const Plan& plan, const StateTree* state,
                                      const std::vector<std::string>& tensor_names) {
  static const StateTree kEmpty;
  const TensorWriter tensors(plan);
  KILTER_TRY(tensors.check());
  return StateWriter(tensors, state == nullptr ? kEmpty : *state, tensor_names).run();
}

}  // namespace kilter::torch
