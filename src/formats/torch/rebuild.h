// torch's rebuild functions, understood but never called. Source: torch/_utils.py and
// torch/_tensor.py (names and argument orders), as listed in docs of the format.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "formats/pickle/lift.h"
#include "formats/torch/storages.h"

namespace kilter::torch {

/// Names that state nodes of rebuilt objects carry, in the state tree and in what is written back.
inline constexpr std::string_view kRebuildQuantized = "torch._utils._rebuild_qtensor";
inline constexpr std::string_view kRebuildSparse = "torch._utils._rebuild_sparse_tensor";
inline constexpr std::string_view kRebuildParameter = "torch._utils._rebuild_parameter";
inline constexpr std::string_view kRebuildParameterState =
    "torch._utils._rebuild_parameter_with_state";
inline constexpr std::string_view kRebuildFromType = "torch._tensor._rebuild_from_type_v2";

/// What lifting needs to know about torch. One for each graph.
///
/// State nodes it makes where a tensor alone does not say everything. In each, `state` is the
/// tensor (or the node of the sparse or quantized tensor) itself, so that it has the object's own
/// name:
///
/// | `text` | `items` | `extra` |
/// |---|---|---|
/// | kRebuildQuantized, per tensor | qscheme, scale, zero_point, requires_grad | |
/// | kRebuildQuantized, per channel | qscheme, axis, requires_grad | scales, zero_points |
/// | kRebuildSparse (no `state`) | layout, size, is_coalesced (COO) | the components by name |
/// | kRebuildParameter (not of a plain tensor) | requires_grad | |
/// | kRebuildParameterState | requires_grad, attributes | |
/// | kRebuildFromType | class, attributes | |
///
/// Nested and meta tensors and wrapper subclasses stay inert calls; tensors inside them are found.
class TorchHooks final : public pickle::LiftHooks {
 public:
  /// Reads the plain tensors of `graph` at once and takes their arguments out of it: lifting ten
  /// values for each of ten thousand tensors would cost more than all the rest.
  TorchHooks(pickle::Graph* graph, pickle::NodeId root, StorageTable* table, TensorIndex* index,
             bool lenient);
  Result<std::optional<StateId>> lift(pickle::Lifter& lifter, pickle::NodeId node) override;

  /// Calls that could not be understood (lenient only).
  std::vector<Error> faults;

 private:
  struct Call;
  enum class Callable : std::uint8_t { kOther, kTensor, kTypedTensor, kQuantized, kParameter };
  Callable callable(pickle::NodeId id);
  void find_bare_storages(pickle::NodeId root);
  void prepare(pickle::Graph* graph, TensorIndex* index);
  using Lifted = Result<std::optional<StateId>>;
  Lifted lift_call(pickle::Lifter& lifter, pickle::NodeId node);
  Lifted dispatch(const Call& call, std::string_view name);
  using Arguments = std::vector<pickle::NodeId>;
  Lifted tensor(const Call& call, bool typed_by_argument);
  Result<TensorInfo> read_tensor(pickle::NodeId node, const Arguments& arguments,
                                 bool typed_by_argument, TensorIndex* index);
  Lifted parameter(const Call& call);
  Lifted parameter_with_state(const Call& call);
  Lifted quantized(const Call& call);
  Lifted sparse(const Call& call);
  Lifted device_tensor(const Call& call);
  Lifted from_type(const Call& call);
  Lifted bare_storage(pickle::Lifter& lifter, pickle::NodeId node);
  Error malformed(pickle::NodeId node, std::string message) const;
  Result<StorageRef> storage(pickle::NodeId node, pickle::NodeId id, TensorIndex* index);
  Result<TensorInfo> view(pickle::NodeId node, const Arguments& arguments, const StorageRef& ref,
                          DType dtype) const;

  const pickle::Graph& graph_;
  StorageTable* table_;
  bool lenient_;
  /// Persistent ids that something else than a rebuild call refers to: a storage saved by itself.
  std::vector<bool> bare_;
  /// Tensors that were read ahead, by the node of their call.
  std::unordered_map<pickle::NodeId, TensorInfo> prepared_;
  std::vector<std::pair<pickle::NodeId, Callable>> callables_;  // seen before; there are few
  std::unordered_map<pickle::NodeId, StorageRef> resolved_;
};

}  // namespace kilter::torch
