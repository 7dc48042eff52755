#include "ops/state_values.h"

#include <algorithm>

#include "ops/selection.h"

namespace kilter::ops {

namespace {

bool is_scalar(const StateNode& node) {
  switch (node.kind) {
    case StateKind::kNone:
    case StateKind::kBool:
    case StateKind::kInt:
    case StateKind::kBigInt:
    case StateKind::kFloat:
    case StateKind::kComplex:
    case StateKind::kString:
    case StateKind::kBytes:
    case StateKind::kGlobal:
      return true;
    default:
      return false;
  }
}

bool is_scalar_list(const StateTree& tree, const StateNode& node) {
  return (node.kind == StateKind::kList || node.kind == StateKind::kTuple ||
          node.kind == StateKind::kSet) &&
         std::all_of(node.items.begin(), node.items.end(),
                     [&](StateId id) { return id != kNoState && is_scalar(tree[id]); });
}

std::string key_text(const StateTree& tree, StateId key) {
  const StateNode& node = tree[key];
  if (node.kind == StateKind::kString) return node.text;
  if (node.kind == StateKind::kInt) return std::to_string(node.integer);
  return "[key " + std::to_string(key) + "]";
}

struct Visit {
  StateId id;
  std::string path;
};

std::string below(const std::string& path, const std::string& part) {
  return path.empty() ? part : path + "." + part;
}

/// Pushes what `node` holds, last first, so that it comes out in order.
void push_children(const StateTree& tree, const Visit& visit, std::vector<Visit>* open) {
  const StateNode& node = tree[visit.id];
  std::vector<Visit> children;
  if (node.kind == StateKind::kDict) {
    for (std::size_t i = 0; i + 1 < node.items.size(); i += 2)
      children.push_back({node.items[i + 1], below(visit.path, key_text(tree, node.items[i]))});
  } else {
    const std::string prefix = node.kind == StateKind::kObject ? "args." : "";
    for (std::size_t i = 0; i < node.items.size(); ++i)
      children.push_back({node.items[i], below(visit.path, prefix + std::to_string(i))});
  }
  if (node.extra != kNoState) children.push_back({node.extra, visit.path});
  if (node.state != kNoState) children.push_back({node.state, below(visit.path, "state")});
  open->insert(open->end(), children.rbegin(), children.rend());
}

}  // namespace

std::vector<StateValue> state_values(const StateTree& tree, std::size_t count_max) {
  std::vector<StateValue> out;
  if (tree.empty()) return out;
  std::vector<bool> seen(tree.size(), false);
  std::vector<Visit> open{{tree.root(), ""}};
  while (!open.empty() && out.size() < count_max) {
    const Visit visit = std::move(open.back());
    open.pop_back();
    if (visit.id == kNoState || seen[visit.id]) continue;
    seen[visit.id] = true;
    const StateNode& node = tree[visit.id];
    if (node.kind == StateKind::kTensor) continue;
    const bool leaf = is_scalar(node) || is_scalar_list(tree, node) ||
                      (node.items.empty() && node.state == kNoState && node.extra == kNoState);
    if (leaf) {
      // An empty root dict is an empty file, not a value.
      if (!visit.path.empty() || node.kind != StateKind::kDict)
        out.push_back({visit.path.empty() ? "(root)" : visit.path, visit.id});
      continue;
    }
    push_children(tree, visit, &open);
  }
  return out;
}

bool is_plain_dict(const StateTree& tree, const std::vector<std::string>& names) {
  if (tree.empty()) return true;
  const StateNode& root = tree[tree.root()];
  if (root.kind != StateKind::kDict) return false;
  for (std::size_t i = 0; i + 1 < root.items.size(); i += 2) {
    const StateNode& key = tree[root.items[i]];
    const StateNode& value = tree[root.items[i + 1]];
    if (key.kind != StateKind::kString || value.kind != StateKind::kTensor) return false;
    const auto index = static_cast<std::size_t>(value.integer);
    if (index >= names.size() || names[index] != key.text) return false;
  }
  return root.items.size() == 2 * names.size();
}

StateTree plain_dict(const std::vector<std::string>& names) {
  StateTree tree;
  StateNode dict;
  dict.kind = StateKind::kDict;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i].empty()) continue;
    StateNode key, value;
    key.kind = StateKind::kString;
    key.text = names[i];
    value.kind = StateKind::kTensor;
    value.integer = static_cast<std::int64_t>(i);
    dict.items.push_back(tree.add(std::move(key)));
    dict.items.push_back(tree.add(std::move(value)));
  }
  tree.set_root(tree.add(std::move(dict)));
  return tree;
}

}  // namespace kilter::ops
