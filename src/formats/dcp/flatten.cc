#include "formats/dcp/flatten.h"

#include <fmt/format.h>

#include <unordered_set>
#include <utility>

#include "formats/torch/rebuild.h"

namespace kilter::dcp {
namespace {

constexpr std::size_t kLeavesMax = 10'000'000;
constexpr std::size_t kDepthMax = 60;  // what metadata's reader takes

class Flattener {
 public:
  explicit Flattener(const StateTree& state) : state_(state), on_path_(state.size(), false) {}

  Result<std::vector<FlatLeaf>> run() {
    mark_holders();
    const StateId root = state_.root();
    if (entries_of(root) != kNoState) {
      enter(root, {});
    } else {
      visit(root, {"state", std::nullopt});
    }
    while (!frames_.empty()) {
      if (leaves_.size() > kLeavesMax)
        return fail(ErrorCode::kLimitExceeded, "the state has more than ten million values");
      Frame& frame = frames_.back();
      if (frame.next == frame.steps.size()) {
        on_path_[frame.node] = false;
        frames_.pop_back();
        if (!path_.empty()) path_.pop_back();
        continue;
      }
      const auto step = frame.steps[frame.next++];  // visit() may move the frames
      visit(step.second, step.first);
    }
    return std::move(leaves_);
  }

 private:
  using Step = std::pair<PathPart, StateId>;
  struct Frame {
    StateId node = kNoState;
    std::vector<Step> steps;
    std::size_t next = 0;
  };

  /// The dictionary that makes a node a mapping: itself, or the entries of an OrderedDict.
  StateId entries_of(StateId id) const {
    const StateNode& node = state_[id];
    if (node.kind == StateKind::kDict) return id;
    const bool mapping = node.kind == StateKind::kObject && node.extra != kNoState &&
                         node.state == kNoState && state_[node.extra].kind == StateKind::kDict &&
                         node.text.starts_with("collections.");
    return mapping ? node.extra : kNoState;
  }

  /// A rebuilt tensor is its tensor.
  StateId tensor_of(StateId id) const {
    const StateNode* node = &state_[id];
    const bool wrapper =
        node->kind == StateKind::kObject && node->state != kNoState &&
        (node->text == torch::kRebuildParameter || node->text == torch::kRebuildParameterState ||
         node->text == torch::kRebuildFromType);
    if (wrapper) id = node->state;
    return state_[id].kind == StateKind::kTensor ? id : kNoState;
  }

  /// From every tensor up through whatever holds it; from every mapping up through lists.
  void mark_holders() {
    std::vector<std::vector<StateId>> parents(state_.size());
    for (StateId id = 0; id < state_.size(); ++id) {
      const StateNode& node = state_[id];
      for (const StateId item : node.items) parents[item].push_back(id);
      if (node.state != kNoState) parents[node.state].push_back(id);
      if (node.extra != kNoState) parents[node.extra].push_back(id);
    }
    walked_.assign(state_.size(), false);
    std::vector<StateId> waiting;
    for (StateId id = 0; id < state_.size(); ++id)
      if (state_[id].kind == StateKind::kTensor) waiting.push_back(id);
    while (!waiting.empty()) {
      const StateId id = waiting.back();
      waiting.pop_back();
      for (const StateId parent : parents[id]) {
        if (walked_[parent]) continue;
        walked_[parent] = true;
        waiting.push_back(parent);
      }
    }
    for (StateId id = 0; id < state_.size(); ++id)
      if (entries_of(id) != kNoState) waiting.push_back(id);
    while (!waiting.empty()) {
      const StateId id = waiting.back();
      waiting.pop_back();
      for (const StateId parent : parents[id]) {
        if (state_[parent].kind != StateKind::kList || walked_[parent]) continue;
        walked_[parent] = true;
        waiting.push_back(parent);
      }
    }
  }

  void visit(StateId id, PathPart part) {
    if (on_path_[id]) return;
    const StateId tensor = tensor_of(id);
    const bool inner = tensor == kNoState && path_.size() < kDepthMax &&
                       (entries_of(id) != kNoState || walked_[id]);
    if (inner) {
      std::vector<Step> steps = steps_of(id);
      if (!steps.empty()) {
        path_.push_back(std::move(part));
        enter(id, std::move(steps));
        return;
      }
    }
    path_.push_back(std::move(part));
    leaves_.push_back({unique(joined()), path_, tensor == kNoState ? id : tensor});
    path_.pop_back();
  }

  void enter(StateId id, std::vector<Step> steps) {
    on_path_[id] = true;
    if (steps.empty()) steps = steps_of(id);
    frames_.push_back({id, std::move(steps), 0});
  }

  std::vector<Step> steps_of(StateId id) const {
    std::vector<Step> steps;
    if (const StateId dict = entries_of(id); dict != kNoState) {
      const auto& items = state_[dict].items;
      for (std::size_t i = 0; i + 1 < items.size(); i += 2)
        steps.push_back({{key_text(items[i]), std::nullopt}, items[i + 1]});
      return steps;
    }
    const StateNode& node = state_[id];
    if (node.kind != StateKind::kObject) {
      for (std::size_t i = 0; i < node.items.size(); ++i)
        steps.push_back({{"", static_cast<std::int64_t>(i)}, node.items[i]});
      return steps;
    }
    for (std::size_t i = 0; i < node.items.size(); ++i)
      steps.push_back({{fmt::format("args.{}", i), std::nullopt}, node.items[i]});
    if (node.state != kNoState) steps.push_back({{"state", std::nullopt}, node.state});
    if (node.extra != kNoState) steps.push_back({{"items", std::nullopt}, node.extra});
    return steps;
  }

  /// As Python's str() writes keys.
  std::string key_text(StateId id) const {
    const StateNode& node = state_[id];
    switch (node.kind) {
      case StateKind::kInt:
        return std::to_string(node.integer);
      case StateKind::kBool:
        return node.integer != 0 ? "True" : "False";
      case StateKind::kNone:
        return "None";
      case StateKind::kFloat:
        return fmt::format("{}", node.number);
      case StateKind::kTuple: {
        std::string out = "(";
        for (const StateId item : node.items)
          out += (out.size() > 1 ? ", " : "") +
                 (state_[item].kind == StateKind::kTuple ? "(...)" : key_text(item));
        return out + ")";
      }
      default:
        return node.text;
    }
  }

  std::string joined() const {
    std::string out;
    for (const PathPart& part : path_) {
      if (!out.empty() || &part != &path_.front()) out += '.';
      out += part.position ? std::to_string(*part.position) : part.key;
    }
    return out;
  }

  std::string unique(std::string name) {
    if (names_.insert(name).second) return name;
    for (std::size_t number = 2;; ++number) {
      std::string other = fmt::format("{}#{}", name, number);
      if (names_.insert(other).second) return other;
    }
  }

  const StateTree& state_;
  std::vector<bool> walked_;   // lists, tuples and objects that are not values themselves
  std::vector<bool> on_path_;  // cycles are cut here
  std::vector<Frame> frames_;
  std::vector<PathPart> path_;
  std::unordered_set<std::string> names_;
  std::vector<FlatLeaf> leaves_;
};

}  // namespace

Result<std::vector<FlatLeaf>> flatten_state(const StateTree& state) {
  if (state.empty()) return std::vector<FlatLeaf>();
  return Flattener(state).run();
}

}  // namespace kilter::dcp
