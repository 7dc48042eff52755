#include "formats/torch/storages.h"

#include <algorithm>

#include "base/try.h"

namespace kilter::torch {
namespace {

using pickle::Graph;
using pickle::Node;
using pickle::NodeId;
using pickle::NodeKind;

struct StorageType {
  DType dtype = DType::kU8;
  bool untyped = false;
};

/// torch.FloatStorage, torch.cuda.HalfStorage, torch.storage.UntypedStorage …
std::optional<StorageType> storage_type(const Node& node) {
  if (node.kind != NodeKind::kGlobal || !node.text.starts_with("torch")) return std::nullopt;
  const std::string_view name = node.text2;
  if (name == "UntypedStorage" || name == "_UntypedStorage") return StorageType{DType::kU8, true};
  if (const auto dtype = dtype_from_torch_storage(name)) return StorageType{*dtype, false};
  return std::nullopt;
}

Error malformed(std::string message, std::uint64_t offset_bytes) {
  return Error(ErrorCode::kMalformed, std::move(message)).at_offset(offset_bytes);
}

Status read_view(const Graph& graph, NodeId id, StorageRequest* request) {
  const Node& node = graph[id];
  if (node.kind == NodeKind::kNone) return ok();
  const bool shaped = node.kind == NodeKind::kTuple && node.items.size() == 3;
  const auto key = shaped ? text_of(graph, node.items[0]) : std::nullopt;
  const auto offset = shaped ? count_of(graph, node.items[1]) : std::nullopt;
  const auto count = shaped ? count_of(graph, node.items[2]) : std::nullopt;
  if (!key || !offset || !count)
    return fail(malformed("view of a storage is not (key, offset, size)", request->offset_bytes));
  request->view = StorageRequest::View{*key, *offset, *count};
  return ok();
}

}  // namespace

std::optional<ModuleId> read_module_id(const Graph& graph, const Node& node) {
  if (node.kind != NodeKind::kPersistentId) return std::nullopt;
  const Node& id = graph[node.items[0]];
  if (id.kind != NodeKind::kTuple) return std::nullopt;
  const std::size_t at = id.items.size() == 4 && text_of(graph, id.items[0]) == "module" ? 1 : 0;
  if (id.items.size() != at + 3 || graph[id.items[at]].kind != NodeKind::kGlobal)
    return std::nullopt;
  return ModuleId{pickle::qualified_name(graph[id.items[at]]), id.items[at + 2]};
}

std::optional<std::string> text_of(const Graph& graph, NodeId id) {
  const Node& node = graph[id];
  if (node.kind == NodeKind::kString || node.kind == NodeKind::kBytes) return node.text;
  if (node.kind == NodeKind::kInt) return std::to_string(node.integer);
  if (node.kind == NodeKind::kBigInt) return node.text;
  return std::nullopt;
}

std::optional<std::uint64_t> count_of(const Graph& graph, NodeId id) {
  const Node& node = graph[id];
  if (node.kind != NodeKind::kInt || node.integer < 0) return std::nullopt;
  return static_cast<std::uint64_t>(node.integer);
}

std::uint64_t storage_element_bytes(DType dtype) {
  return std::max<std::uint64_t>(1, dtype_row(dtype).bits / 8);
}

Result<std::optional<StorageRequest>> read_storage_id(const Graph& graph, NodeId id) {
  const Node* node = &graph[id];
  const std::uint64_t at = node->offset_bytes;
  if (node->kind == NodeKind::kPersistentId) node = &graph[node->items[0]];
  if (node->kind != NodeKind::kTuple || node->items.size() < 5) return std::nullopt;
  if (text_of(graph, node->items[0]) != "storage") return std::nullopt;
  const auto type = storage_type(graph[node->items[1]]);
  if (!type) {
    return fail(
        Error(ErrorCode::kUnsupported, "storage of an unknown type")
            .at_offset(at)
            .wanted("torch.FloatStorage and its like", pickle::render(graph, node->items[1])));
  }
  StorageRequest request;
  request.offset_bytes = at;
  request.dtype = type->dtype;
  request.untyped = type->untyped;
  const auto key = text_of(graph, node->items[2]);
  const auto count = count_of(graph, node->items[4]);
  if (!key || !count)
    return fail(malformed("storage without a sound key and element count", at)
                    .wanted("a string and a number of at least 0",
                            pickle::render(graph, node->items[2]) + " and " +
                                pickle::render(graph, node->items[4])));
  request.key = *key;
  request.element_count = *count;
  request.device = text_of(graph, node->items[3]).value_or("");
  if (node->items.size() > 5) KILTER_TRY(read_view(graph, node->items[5], &request));
  return request;
}

}  // namespace kilter::torch
