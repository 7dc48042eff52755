#include "formats/torch/substitutes.h"

#include <algorithm>
#include <array>

#include "kilter/dtype.h"

#include "formats/torch/rebuild.h"

namespace kilter::torch {
namespace {

/// Calls written as they are: the name and all arguments. Source: torch/_weights_only_unpickler.py.
constexpr std::array<std::string_view, 8> kPlainCalls = {
    "torch.Size",
    "torch.device",
    "torch.serialization._get_layout",
    "torch._utils._rebuild_meta_tensor_no_storage",
    "torch._utils._rebuild_device_tensor_from_cpu_tensor",
    "torch._utils._rebuild_device_tensor_from_numpy",
    "builtins.bytearray",
    "collections.Counter",
};

constexpr std::array<std::string_view, 5> kRebuilders = {
    kRebuildQuantized, kRebuildSparse, kRebuildParameter, kRebuildParameterState, kRebuildFromType};

constexpr std::array<std::string_view, 5> kSchemes = {"per_tensor_affine", "per_tensor_symmetric",
                                                      "per_channel_affine", "per_channel_symmetric",
                                                      "per_channel_affine_float_qparams"};

constexpr std::array<std::string_view, 6> kClasses = {
    "torch.Tensor", "torch.nn.parameter.Parameter", "torch.Size",
    "torch.device", "collections.OrderedDict",      "collections.Counter"};

template <typename List>
bool holds(const List& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

std::string of(std::string_view what, std::string_view name) {
  return std::string(what).append(name);
}

std::optional<std::string> object_reason(const StateTree& state, const StateNode& node) {
  if (node.text == "collections.OrderedDict") {
    if (!node.items.empty()) return "an OrderedDict made from unusual arguments";
    if (node.state != kNoState && state[node.state].kind != StateKind::kDict)
      return "an OrderedDict with unusual attributes";
    if (node.extra != kNoState && state[node.extra].kind != StateKind::kDict)
      return "an OrderedDict with unusual entries";
    return std::nullopt;
  }
  if (holds(kRebuilders, node.text)) {
    // Attributes and components came from a rebuild call; a class of its own is given up.
    if (node.text == kRebuildFromType && !node.items.empty() &&
        state[node.items[0]].kind == StateKind::kGlobal &&
        !is_allowed_global(state[node.items[0]].text))
      return of("a tensor of the class ", state[node.items[0]].text);
    return std::nullopt;
  }
  const bool counter = node.text == "collections.Counter";
  const bool grown = node.state != kNoState || (node.extra != kNoState && !counter);
  if (holds(kPlainCalls, node.text) && !grown) return std::nullopt;
  return of("an object of the class ", node.text);
}

}  // namespace

bool is_allowed_global(std::string_view name) {
  if (holds(kClasses, name)) return true;
  if (!name.starts_with("torch.")) return false;
  name.remove_prefix(6);
  return holds(kSchemes, name) ||
         std::any_of(dtype_table().begin(), dtype_table().end(), [name](const DTypeRow& row) {
           return !row.torch.empty() && row.torch == name;
         });
}

bool is_hashable(const StateTree& state, StateId key) {
  std::vector<StateId> waiting = {key};
  for (std::size_t at = 0; at < waiting.size(); ++at) {
    if (at > 1000) return false;
    const StateNode& node = state[waiting[at]];
    switch (node.kind) {
      case StateKind::kList:
      case StateKind::kDict:
      case StateKind::kSet:
        return false;
      case StateKind::kTuple:
        waiting.insert(waiting.end(), node.items.begin(), node.items.end());
        break;
      case StateKind::kObject:
        if (node.text != "torch.Size" && node.text != "torch.device") return false;
        break;
      case StateKind::kGlobal:
        if (!is_allowed_global(node.text)) return false;
        break;
      case StateKind::kBigInt:
        if (node.text.size() > kBigIntDigitsMax) return false;
        break;
      default:
        break;
    }
  }
  return true;
}

std::optional<std::string> substitute_reason(const StateTree& state, StateId id) {
  const StateNode& node = state[id];
  switch (node.kind) {
    case StateKind::kObject:
      return object_reason(state, node);
    case StateKind::kGlobal:
      if (is_allowed_global(node.text)) return std::nullopt;
      return of("the class or function ", node.text);
    case StateKind::kBigInt:
      if (node.text.size() <= kBigIntDigitsMax) return std::nullopt;
      return "an integer of more than 255 bytes";
    case StateKind::kSet:
      if (node.text != "frozenset") return std::nullopt;
      return "a frozenset";
    default:
      return std::nullopt;
  }
}

}  // namespace kilter::torch

namespace kilter::formats {

std::vector<TorchSubstitute> torch_substitutes(const StateTree& state) {
  std::vector<TorchSubstitute> out;
  if (state.empty()) return out;
  std::vector<bool> seen(state.size(), false);
  std::vector<bool> told(state.size(), false);
  std::vector<StateId> waiting = {state.root()};
  const auto tell = [&](StateId id, std::string reason) {
    if (told[id]) return;
    told[id] = true;
    out.push_back({id, std::move(reason)});
  };
  while (!waiting.empty()) {
    const StateId id = waiting.back();
    waiting.pop_back();
    if (seen[id]) continue;
    seen[id] = true;
    const StateNode& node = state[id];
    if (auto reason = torch::substitute_reason(state, id)) tell(id, std::move(*reason));
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      const bool key =
          (node.kind == StateKind::kDict && i % 2 == 0) || node.kind == StateKind::kSet;
      if (key && !torch::is_hashable(state, node.items[i]))
        tell(node.items[i], "it cannot be a key once it is no object");
    }
    if (node.extra != kNoState) waiting.push_back(node.extra);
    if (node.state != kNoState) waiting.push_back(node.state);
    // A class that only says what a tensor was is told with the tensor.
    const std::size_t skip =
        node.kind == StateKind::kObject && node.text == torch::kRebuildFromType;
    for (std::size_t i = node.items.size(); i-- > skip;) waiting.push_back(node.items[i]);
  }
  return out;
}

}  // namespace kilter::formats
