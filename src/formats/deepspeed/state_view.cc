#include "formats/deepspeed/state_view.h"

namespace kilter::deepspeed {
namespace {

/// The dictionary a node is, or holds as an OrderedDict does.
const StateNode* dict_node(const StateTree& tree, StateId id) {
  if (id >= tree.size()) return nullptr;
  const StateNode* node = &tree[id];
  if (node->kind == StateKind::kObject && node->extra < tree.size()) node = &tree[node->extra];
  return node->kind == StateKind::kDict ? node : nullptr;
}

bool is_sequence(const StateNode& node) {
  return node.kind == StateKind::kList || node.kind == StateKind::kTuple;
}

}  // namespace

std::optional<std::int64_t> integer_of(const StateTree& tree, StateId id) {
  if (id >= tree.size()) return std::nullopt;
  const StateNode* node = &tree[id];
  if (node->kind == StateKind::kObject && node->items.size() == 1 && node->items[0] < tree.size())
    node = &tree[node->items[0]];
  if (node->kind != StateKind::kInt && node->kind != StateKind::kBool) return std::nullopt;
  return node->integer;
}

std::optional<std::vector<std::int64_t>> sizes_of(const StateTree& tree, StateId id) {
  if (id >= tree.size()) return std::nullopt;
  const StateNode* node = &tree[id];
  if (node->kind == StateKind::kObject && node->text == "torch.Size" && node->items.size() == 1 &&
      node->items[0] < tree.size())
    node = &tree[node->items[0]];
  if (!is_sequence(*node)) return std::nullopt;
  std::vector<std::int64_t> out;
  out.reserve(node->items.size());
  for (const StateId item : node->items) {
    const auto size = integer_of(tree, item);
    if (!size || *size < 0) return std::nullopt;
    out.push_back(*size);
  }
  return out;
}

std::vector<StateId> items_of(const StateTree& tree, StateId id) {
  if (id >= tree.size() || !is_sequence(tree[id])) return {};
  return tree[id].items;
}

std::vector<std::pair<std::string, StateId>> entries_of(const StateTree& tree, StateId id) {
  std::vector<std::pair<std::string, StateId>> out;
  const StateNode* dict = dict_node(tree, id);
  if (dict == nullptr) return out;
  for (std::size_t i = 0; i + 1 < dict->items.size(); i += 2) {
    const StateId key = dict->items[i];
    if (key < tree.size() && tree[key].kind == StateKind::kString)
      out.emplace_back(tree[key].text, dict->items[i + 1]);
  }
  return out;
}

std::unordered_map<std::string, StateId> lookup_of(const StateTree& tree, StateId id) {
  std::unordered_map<std::string, StateId> out;
  for (auto& [key, value] : entries_of(tree, id)) out[std::move(key)] = value;
  return out;
}

std::vector<StateId> numbered_entries(const StateTree& tree, StateId id, std::size_t count) {
  std::vector<StateId> out(count, kNoState);
  const StateNode* dict = dict_node(tree, id);
  if (dict == nullptr) return out;
  for (std::size_t i = 0; i + 1 < dict->items.size(); i += 2) {
    const StateId key = dict->items[i];
    if (key >= tree.size() || tree[key].kind != StateKind::kInt || tree[key].integer < 0) continue;
    const auto number = static_cast<std::uint64_t>(tree[key].integer);
    if (number < count) out[number] = dict->items[i + 1];
  }
  return out;
}

const TensorInfo* tensor_of(const CheckpointData& data, StateId id) {
  const StateTree& tree = data.state;
  if (id >= tree.size()) return nullptr;
  const StateNode* node = &tree[id];
  if (node->kind == StateKind::kObject && node->state < tree.size()) node = &tree[node->state];
  if (node->kind != StateKind::kTensor) return nullptr;
  const auto number = static_cast<std::size_t>(node->integer);
  return number < data.index.tensors.size() ? &data.index.tensors[number] : nullptr;
}

}  // namespace kilter::deepspeed
