#include "train/state_path.h"

#include <algorithm>

namespace kilter::train {
namespace {

struct Visit {
  StateId node = kNoState;
  std::vector<std::string> path;
};

void push_children(const StateTree& tree, const Visit& visit, std::vector<Visit>& waiting) {
  const StateNode& node = tree[visit.node];
  const std::size_t first = waiting.size();
  const auto push = [&](StateId child, std::string key) {
    Visit next{child, visit.path};
    next.path.push_back(std::move(key));
    waiting.push_back(std::move(next));
  };
  if (node.kind == StateKind::kDict) {
    for (std::size_t i = 0; i + 1 < node.items.size(); i += 2)
      push(node.items[i + 1], key_text(tree[node.items[i]]));
  } else if (node.kind == StateKind::kList || node.kind == StateKind::kTuple) {
    for (std::size_t i = 0; i < node.items.size(); ++i) push(node.items[i], std::to_string(i));
  } else if (node.kind == StateKind::kObject && node.extra != kNoState) {
    waiting.push_back({node.extra, visit.path});  // an ordered dictionary
  }
  std::reverse(waiting.begin() + static_cast<std::ptrdiff_t>(first), waiting.end());
}

}  // namespace

std::string path_text(const std::vector<std::string>& path) {
  std::string out;
  for (const std::string& key : path) {
    if (!out.empty()) out += '/';
    out += key;
  }
  return out;
}

std::string key_text(const StateNode& key) {
  if (key.kind == StateKind::kString) return key.text;
  if (key.kind == StateKind::kInt) return std::to_string(key.integer);
  return "";
}

std::vector<TensorPlace> tensor_places(const StateTree& tree, StateId root) {
  std::vector<TensorPlace> out;
  if (root == kNoState) return out;
  std::vector<bool> seen(tree.size(), false);
  std::vector<Visit> waiting{{root, {}}};
  while (!waiting.empty()) {
    const Visit visit = std::move(waiting.back());
    waiting.pop_back();
    if (tree[visit.node].kind == StateKind::kTensor) {
      out.push_back({visit.path, static_cast<std::size_t>(tree[visit.node].integer)});
    } else if (!seen[visit.node]) {
      seen[visit.node] = true;
      push_children(tree, visit, waiting);
    }
  }
  return out;
}

StateId child_of(const StateTree& tree, StateId id, const std::string& key) {
  if (id == kNoState) return kNoState;
  const StateNode& node = tree[id];
  if (node.kind == StateKind::kObject) return child_of(tree, node.extra, key);
  if (node.kind == StateKind::kDict) {
    for (std::size_t i = 0; i + 1 < node.items.size(); i += 2)
      if (key_text(tree[node.items[i]]) == key) return node.items[i + 1];
  } else if (node.kind == StateKind::kList || node.kind == StateKind::kTuple) {
    for (std::size_t i = 0; i < node.items.size(); ++i)
      if (std::to_string(i) == key) return node.items[i];
  }
  return kNoState;
}

}  // namespace kilter::train
