// torch's rebuild functions, understood but never called. Source: torch/_utils.py and
// torch/_tensor.py (names and argument orders), as listed in docs of the format.
#pragma once

#include <string>
#include <unordered_map>
#include <unordered_set>
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
  TorchHooks(const pickle::Graph& graph, pickle::NodeId root, StorageTable* table, bool lenient);
  Result<std::optional<StateId>> lift(pickle::Lifter& lifter, pickle::NodeId node) override;

  /// Calls that could not be understood (lenient only).
  std::vector<Error> faults;

 private:
  struct Call;
  using Lifted = Result<std::optional<StateId>>;
  Lifted lift_call(pickle::Lifter& lifter, pickle::NodeId node);
  Lifted dispatch(const Call& call, std::string_view name);
  Lifted tensor(const Call& call, bool typed_by_argument);
  Lifted parameter(const Call& call);
  Lifted parameter_with_state(const Call& call);
  Lifted quantized(const Call& call);
  Lifted sparse(const Call& call);
  Lifted device_tensor(const Call& call);
  Lifted from_type(const Call& call);
  Lifted bare_storage(pickle::Lifter& lifter, pickle::NodeId node);
  Result<StorageRef> storage(const Call& call, pickle::NodeId id);
  Result<TensorInfo> view(const Call& call, const StorageRef& ref, DType dtype);

  const pickle::Graph& graph_;
  StorageTable* table_;
  bool lenient_;
  /// Persistent ids that something else than a rebuild call refers to: a storage saved by itself.
  std::unordered_set<pickle::NodeId> bare_;
  std::unordered_map<pickle::NodeId, StorageRef> resolved_;
};

}  // namespace kilter::torch
