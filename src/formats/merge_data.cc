#include "formats/merge_data.h"

#include <iterator>
#include <utility>

namespace kilter::formats {
namespace {

StateId shifted(StateId id, std::size_t by) {
  return id == kNoState ? kNoState : static_cast<StateId>(id + by);
}

StateId append_state(StateTree tree, std::size_t tensor_base, StateTree* out) {
  const std::size_t base = out->size();
  for (StateId id = 0; id < tree.size(); ++id) {
    StateNode node = std::move(tree[id]);
    for (StateId& item : node.items) item = shifted(item, base);
    node.state = shifted(node.state, base);
    node.extra = shifted(node.extra, base);
    if (node.kind == StateKind::kTensor) node.integer += static_cast<std::int64_t>(tensor_base);
    out->add(std::move(node));
  }
  return shifted(tree.root(), base);
}

/// Pieces name storages by number too.
std::shared_ptr<const Assembly> shifted(const std::shared_ptr<const Assembly>& assembly,
                                        std::uint32_t by) {
  if (!assembly || by == 0) return assembly;
  auto moved = std::make_shared<Assembly>(*assembly);
  for (Piece& piece : moved->pieces) piece.storage += by;
  return moved;
}

std::string prefixed(std::string_view prefix, const std::string& name) {
  return std::string(prefix).append(name);
}

}  // namespace

StateId append_data(CheckpointData more, std::string_view prefix, bool own_files,
                    CheckpointData* data) {
  TensorIndex& index = data->index;
  const auto storage_base = static_cast<std::uint32_t>(index.storages.size());
  const auto file_base = static_cast<std::uint32_t>(own_files ? index.files.size() : 0);
  const std::size_t tensor_base = index.tensors.size();
  if (own_files)
    std::move(more.index.files.begin(), more.index.files.end(), std::back_inserter(index.files));
  for (StorageInfo& storage : more.index.storages) {
    storage.file += file_base;
    storage.assembly = shifted(storage.assembly, storage_base);
    index.storages.push_back(std::move(storage));
  }
  for (TensorInfo& tensor : more.index.tensors) {
    tensor.storage += storage_base;
    if (!prefix.empty()) tensor.name = prefixed(prefix, tensor.name);
    index.tensors.push_back(std::move(tensor));
  }
  for (const auto& [name, earlier] : more.ties)
    data->ties.emplace_back(prefixed(prefix, name), prefixed(prefix, earlier));
  std::move(more.findings.begin(), more.findings.end(), std::back_inserter(data->findings));
  return append_state(std::move(more.state), tensor_base, &data->state);
}

void DictBuilder::add(std::string_view key, StateId value) {
  StateNode node;
  node.kind = StateKind::kString;
  node.text = key;
  items_.push_back(tree_->add(std::move(node)));
  items_.push_back(value);
}

StateId DictBuilder::finish() {
  StateNode node;
  node.kind = StateKind::kDict;
  node.items = std::move(items_);
  return tree_->add(std::move(node));
}

StateId add_tensor_node(std::size_t index, StateTree* tree) {
  StateNode node;
  node.kind = StateKind::kTensor;
  node.integer = static_cast<std::int64_t>(index);
  return tree->add(std::move(node));
}

}  // namespace kilter::formats
