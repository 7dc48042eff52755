#include "kilter/state.h"

#include <algorithm>
#include <cstring>

#include "base/text.h"
#include "base/try.h"
#include "train/state_path.h"

namespace kilter {
namespace {

std::string joined(const State::Path& path, std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) {
    if (i != 0) out += '\x1f';
    out += path[i];
  }
  return out;
}

StateNode dict_node() {
  StateNode node;
  node.kind = StateKind::kDict;
  return node;
}

StateNode int_node(std::int64_t value) {
  StateNode node;
  node.kind = StateKind::kInt;
  node.integer = value;
  return node;
}

StateNode float_node(double value) {
  StateNode node;
  node.kind = StateKind::kFloat;
  node.number = value;
  return node;
}

StateNode bool_node(bool value) {
  StateNode node;
  node.kind = StateKind::kBool;
  node.integer = value ? 1 : 0;
  return node;
}

StateNode text_node(std::string value) {
  StateNode node;
  node.kind = StateKind::kString;
  node.text = std::move(value);
  return node;
}

StateNode bytes_node(std::span<const std::byte> value) {
  StateNode node;
  node.kind = StateKind::kBytes;
  node.text.assign(reinterpret_cast<const char*>(value.data()), value.size());
  return node;
}

/// What a bound value is now.
struct NodeOf {
  StateNode operator()(const std::int64_t* value) const { return int_node(*value); }
  StateNode operator()(const double* value) const { return float_node(*value); }
  StateNode operator()(const bool* value) const { return bool_node(*value); }
  StateNode operator()(const std::string* value) const { return text_node(*value); }
  StateNode operator()(std::span<std::byte> value) const { return bytes_node(value); }
};

/// Whether a loaded node can be written there; "" if so, else what was expected.
struct Expected {
  const StateNode& node;
  std::string kind(StateKind wanted, const char* text) const {
    return node.kind == wanted ? "" : text;
  }
  std::string operator()(const std::int64_t*) const { return kind(StateKind::kInt, "an integer"); }
  std::string operator()(const double*) const {
    return node.kind == StateKind::kInt ? "" : kind(StateKind::kFloat, "a number");
  }
  std::string operator()(const bool*) const { return kind(StateKind::kBool, "true or false"); }
  std::string operator()(const std::string*) const { return kind(StateKind::kString, "text"); }
  std::string operator()(std::span<std::byte> value) const {
    if (node.kind == StateKind::kBytes && node.text.size() == value.size()) return "";
    return std::to_string(value.size()) + " bytes";
  }
};

struct Write {
  const StateNode& node;
  void operator()(std::int64_t* value) const { *value = node.integer; }
  void operator()(double* value) const {
    *value = node.kind == StateKind::kInt ? static_cast<double>(node.integer) : node.number;
  }
  void operator()(bool* value) const { *value = node.integer != 0; }
  void operator()(std::string* value) const { *value = node.text; }
  void operator()(std::span<std::byte> value) const {
    if (!value.empty()) std::memcpy(value.data(), node.text.data(), value.size());
  }
};

Error path_error(const State::Path& path, std::string message) {
  return {ErrorCode::kInvalidArgument,
          "state \"" + train::path_text(path) + "\": " + std::move(message)};
}

}  // namespace

State::State() { tree_.set_root(tree_.add(dict_node())); }

Result<StateId> State::place(const Path& path, StateNode node) {
  if (path.empty()) return fail(ErrorCode::kInvalidArgument, "a path of the state has no keys");
  StateId at = tree_.root();
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (tree_[at].kind != StateKind::kDict)
      return fail(path_error(path, "a value stands where a dictionary would have to be"));
    const bool last = i + 1 == path.size();
    const auto [found, fresh] = by_path_.try_emplace(joined(path, i + 1), kNoState);
    if (fresh) {
      const StateId key = tree_.add(text_node(path[i]));
      const StateId value = tree_.add(last ? std::move(node) : dict_node());
      tree_[at].items.push_back(key);
      tree_[at].items.push_back(value);
      found->second = value;
    } else if (last) {
      if (tree_[found->second].kind == StateKind::kDict)
        return fail(path_error(path, "a dictionary stands there"));
      tree_[found->second] = std::move(node);
      std::erase_if(bindings_, [&](const Binding& b) { return b.node == found->second; });
    }
    at = found->second;
  }
  return at;
}

StateId State::add_tensor(LiveTensor tensor) {
  StateNode node;
  node.kind = StateKind::kTensor;
  node.integer = static_cast<std::int64_t>(tensors_.size());
  tensors_.push_back(std::move(tensor));
  return tree_.add(std::move(node));
}

Status State::tensor(const Path& path, LiveTensor tensor) {
  StateNode node;
  node.kind = StateKind::kTensor;
  node.integer = static_cast<std::int64_t>(tensors_.size());
  tensors_.push_back(std::move(tensor));
  return place(path, std::move(node)).map([](StateId) {});
}

Status State::set(const Path& path, StateNode value) {
  return place(path, std::move(value)).map([](StateId) {});
}
Status State::set(const Path& path, std::int64_t value) { return set(path, int_node(value)); }
Status State::set(const Path& path, double value) { return set(path, float_node(value)); }
Status State::set(const Path& path, bool value) { return set(path, bool_node(value)); }
Status State::set(const Path& path, std::string value) {
  return set(path, text_node(std::move(value)));
}

Status State::bind_target(const Path& path, Target target) {
  KILTER_ASSIGN(const StateId node, place(path, std::visit(NodeOf{}, target)));
  bindings_.push_back({path, node, target});
  return ok();
}
Status State::bind(const Path& path, std::int64_t& value) { return bind_target(path, &value); }
Status State::bind(const Path& path, double& value) { return bind_target(path, &value); }
Status State::bind(const Path& path, bool& value) { return bind_target(path, &value); }
Status State::bind(const Path& path, std::string& value) { return bind_target(path, &value); }
Status State::bind(const Path& path, std::span<std::byte> bytes) {
  return bind_target(path, bytes);
}

void State::file(const std::string& name, std::string text) {
  const auto found = std::ranges::find(files_, name, &std::pair<std::string, std::string>::first);
  if (found == files_.end()) {
    files_.emplace_back(name, std::move(text));
  } else {
    found->second = std::move(text);
  }
}

StateTree State::capture() const {
  StateTree now = tree_;
  for (const Binding& binding : bindings_) now[binding.node] = std::visit(NodeOf{}, binding.target);
  return now;
}

StateId State::node_at(const StateTree& loaded, StateId root, const Path& path) {
  StateId at = root;
  for (const std::string& key : path) at = at == kNoState ? kNoState : loaded.find(at, key);
  return at;
}

Status State::fits(const StateTree& loaded, StateId root) const {
  std::string faults;
  const auto blame = [&](const Path& path, const std::string& text) {
    if (!faults.empty()) faults += "; ";
    faults += train::path_text(path) + ": " + text;
  };
  for (const Binding& binding : bindings_) {
    const StateId at = node_at(loaded, root, binding.path);
    if (at == kNoState) {
      blame(binding.path, "missing");
      continue;
    }
    const std::string wanted = std::visit(Expected{loaded[at]}, binding.target);
    if (!wanted.empty()) blame(binding.path, wanted + " expected");
  }
  if (faults.empty()) return ok();
  return fail(ErrorCode::kInvalidArgument, "the checkpoint does not fit this run: " + faults);
}

Status State::release(const StateTree& loaded, StateId root) {
  KILTER_TRY(fits(loaded, root));
  for (const Binding& binding : bindings_)
    std::visit(Write{loaded[node_at(loaded, root, binding.path)]}, binding.target);
  return ok();
}

}  // namespace kilter
