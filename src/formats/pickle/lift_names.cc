#include "formats/pickle/lift_names.h"

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/try.h"

namespace kilter::pickle {
namespace {

/// A way on from a node: the part it adds to the path, and where it leads.
struct Step {
  std::string part;  // empty: adds nothing
  StateId to = kNoState;
};

std::string scalar_text(const StateNode& node) {
  switch (node.kind) {
    case StateKind::kNone:
      return "None";
    case StateKind::kBool:
      return node.integer != 0 ? "True" : "False";
    case StateKind::kInt:
      return std::to_string(node.integer);
    case StateKind::kFloat:
      return fmt::format("{}", node.number);
    case StateKind::kComplex:
      return fmt::format("({}+{}j)", node.number, node.imaginary);
    case StateKind::kBigInt:
    case StateKind::kString:
    case StateKind::kBytes:
    case StateKind::kGlobal:
      return node.text;
    default:
      return "key";
  }
}

std::string key_text(const StateTree& tree, StateId key) {
  const StateNode& node = tree[key];
  if (node.kind != StateKind::kTuple) return scalar_text(node);
  std::string out = "(";
  for (std::size_t i = 0; i < node.items.size() && i < 16; ++i) {
    if (i > 0) out += ", ";
    out += scalar_text(tree[node.items[i]]);
  }
  return out + ")";
}

// torch.nn.Module keeps its parts in dictionaries of these names; state_dict() leaves them out too.
bool is_module_part(std::string_view key) {
  return key == "_parameters" || key == "_buffers" || key == "_modules";
}

class Namer {
 public:
  explicit Namer(CheckpointData* data)
      : data_(*data), tree_(data->state), drafts_(std::move(data->index.tensors)) {
    data_.index.tensors.clear();
    number_.assign(drafts_.size(), kNoNumber);
    data_.index.tensors.reserve(drafts_.size());
    names_.reserve(drafts_.size());
    visits_.assign(tree_.size(), Visit::kNever);
    std::uint64_t edges = 0;
    for (StateId id = 0; id < tree_.size(); ++id) edges += 2 + tree_[id].items.size();
    again_budget_ = 4 * edges + 10'000;
    name_bytes_max_ = 64 * edges + (16 << 20);
  }

  Status run() {
    if (!tree_.empty()) KILTER_TRY(walk(tree_.root()));
    for (std::size_t i = 0, unreached = 0; i < drafts_.size(); ++i) {
      if (number_[i] == kNoNumber) add(i, fmt::format("unreached.{}", unreached++));
    }
    for (StateId id = 0; id < tree_.size(); ++id) {
      StateNode& node = tree_[id];
      if (node.kind != StateKind::kTensor) continue;
      node.integer = static_cast<std::int64_t>(number_[static_cast<std::size_t>(node.integer)]);
    }
    return ok();
  }

 private:
  static constexpr std::size_t kNoNumber = SIZE_MAX;
  enum class Visit : std::uint8_t { kNever, kOpen, kBarren, kFertile };

  struct Frame {
    StateId node;
    std::size_t next = 0;
    std::size_t path_size = 0;  // of the path to `node`
    bool again = false;         // reached before, by another way
    bool module = false;        // the state of a torch.nn.Module
    bool found = false;         // a tensor lies below
  };

  Status walk(StateId root) {
    std::vector<Frame> frames;
    KILTER_TRY(enter(root, &frames));
    while (!frames.empty()) {
      Frame& frame = frames.back();
      const auto step = next_step(frame);
      if (step) {
        path_.resize(frame.path_size);
        extend_path(step->part);
        KILTER_TRY(enter(step->to, &frames));
        continue;
      }
      const bool found = frame.found;
      visits_[frame.node] = found ? Visit::kFertile : Visit::kBarren;
      frames.pop_back();
      if (!frames.empty()) frames.back().found |= found;
    }
    return ok();
  }

  Status enter(StateId id, std::vector<Frame>* frames) {
    if (id >= tree_.size()) return ok();
    const StateNode& node = tree_[id];
    if (node.kind == StateKind::kTensor) {
      if (!frames->empty()) frames->back().found = true;
      return add(static_cast<std::size_t>(node.integer), path_.empty() ? "tensor" : path_);
    }
    const bool leaf = node.items.empty() && node.state == kNoState && node.extra == kNoState;
    const Visit before = visits_[id];
    if (leaf || before == Visit::kOpen || before == Visit::kBarren) return ok();
    // Reached by another way too: its tensors get second names, as far as the budget goes.
    const bool again = before == Visit::kFertile;
    if (again && again_budget_ == 0) return ok();
    visits_[id] = Visit::kOpen;
    frames->push_back({id, 0, path_.size(), again, is_module_state(node), false});
    return ok();
  }

  bool is_module_state(const StateNode& node) const {
    if (node.kind != StateKind::kDict) return false;
    int parts = 0;
    for (std::size_t i = 0; i < node.items.size() && i < 64; i += 2) {
      const StateNode& key = tree_[node.items[i]];
      parts += key.kind == StateKind::kString && is_module_part(key.text) ? 1 : 0;
    }
    return parts == 3;
  }

  /// An array of one Python object is that object, as `array.item()` would give it.
  StateId beyond_array(const StateNode& node) const {
    if (node.kind != StateKind::kObject || node.text != "numpy.ndarray") return node.extra;
    const StateNode& elements = tree_[node.extra];
    return elements.kind == StateKind::kList && elements.items.size() == 1 ? elements.items[0]
                                                                           : node.extra;
  }

  void extend_path(const std::string& part) {
    if (part.empty()) return;
    if (!path_.empty()) path_ += '.';
    path_ += part;
  }

  /// The next way on from `frame.node`: items, then `state`, then `extra`.
  std::optional<Step> next_step(Frame& frame) {
    const StateNode& node = tree_[frame.node];
    while (true) {
      if (frame.again && again_budget_ == 0) return std::nullopt;
      if (frame.again) --again_budget_;
      const std::size_t at = frame.next++;
      if (node.kind == StateKind::kDict) {
        if (2 * at + 1 >= node.items.size()) return std::nullopt;
        if (!leads_on(node.items[2 * at + 1])) continue;
        std::string part = key_text(tree_, node.items[2 * at]);
        if (frame.module && is_module_part(part)) part.clear();
        return Step{std::move(part), node.items[2 * at + 1]};
      }
      if (at < node.items.size()) {
        if (!leads_on(node.items[at])) continue;
        return Step{std::to_string(at), node.items[at]};
      }
      const std::size_t rest = at - node.items.size();
      if (rest == 0 && node.state != kNoState) return Step{{}, node.state};
      if (rest == 1 && node.extra != kNoState) return Step{{}, beyond_array(node)};
      if (rest > 1) return std::nullopt;
    }
  }

  bool leads_on(StateId id) const {
    if (id >= tree_.size()) return false;
    const StateNode& node = tree_[id];
    return node.kind == StateKind::kTensor || !node.items.empty() || node.state != kNoState ||
           node.extra != kNoState;
  }

  std::string free_name(std::string name) {
    const auto [taken, is_new] = names_.try_emplace(name, 1);
    if (is_new) return name;
    while (true) {
      std::string other = fmt::format("{}#{}", name, ++taken->second);
      if (names_.try_emplace(other, 1).second) return other;
    }
  }

  Status add(std::size_t draft, std::string name) {
    name_bytes_ += name.size();
    if (name_bytes_ > name_bytes_max_) {
      return fail(ErrorCode::kLimitExceeded, "the paths to the tensors are too long");
    }
    const bool is_first = number_[draft] == kNoNumber;
    TensorInfo tensor = is_first ? std::move(drafts_[draft]) : data_.index.tensors[number_[draft]];
    tensor.name = free_name(std::move(name));
    if (is_first) {
      number_[draft] = data_.index.tensors.size();
    } else {
      data_.ties.emplace_back(tensor.name, data_.index.tensors[number_[draft]].name);
    }
    data_.index.tensors.push_back(std::move(tensor));
    return ok();
  }

  CheckpointData& data_;
  StateTree& tree_;
  std::vector<TensorInfo> drafts_;
  std::vector<std::size_t> number_;  // of each draft in the index
  std::vector<Visit> visits_;
  std::unordered_map<std::string, std::size_t> names_;
  std::string path_;
  std::uint64_t again_budget_ = 0;
  std::uint64_t name_bytes_ = 0;
  std::uint64_t name_bytes_max_ = 0;
};

}  // namespace

Status name_tensors(CheckpointData* data) { return Namer(data).run(); }

}  // namespace kilter::pickle
