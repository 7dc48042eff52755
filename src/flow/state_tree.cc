#include "kilter/state_tree.h"

namespace kilter {

StateId StateTree::find(StateId dict, std::string_view key) const {
  if (dict >= nodes_.size()) return kNoState;
  const StateNode* node = &nodes_[dict];
  if (node->kind == StateKind::kObject && node->extra < nodes_.size()) node = &nodes_[node->extra];
  if (node->kind != StateKind::kDict) return kNoState;
  // From the back: where a key was set twice, the later value holds, as in Python.
  for (std::size_t pair = node->items.size() / 2; pair-- > 0;) {
    const StateId key_id = node->items[2 * pair];
    if (key_id >= nodes_.size()) continue;
    const StateNode& candidate = nodes_[key_id];
    if (candidate.kind == StateKind::kString && candidate.text == key)
      return node->items[2 * pair + 1];
  }
  return kNoState;
}

StateId StateTree::find_path(std::initializer_list<std::string_view> keys) const {
  StateId at = root_;
  for (const std::string_view key : keys) {
    if (at == kNoState) break;
    at = find(at, key);
  }
  return at;
}

}  // namespace kilter
