// What torch.load(weights_only=True) would refuse, and what is written in its place.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kilter/state_tree.h"

namespace kilter::formats {

/// A state node that weights_only loading would refuse as it is. The writer puts a plain value in
/// its place: {"__class__": "module.name", "args": (…), "state": …, "items": …} for an object
/// (absent parts left out), {"__global__": "module.name"} for a class or function, a set for a
/// frozenset, a string for what cannot be a dictionary's key.
struct TorchSubstitute {
  StateId node = kNoState;
  std::string reason;  ///< one clause for people
};

/// Every such node reachable from the root, each once, in the order the writer meets them.
std::vector<TorchSubstitute> torch_substitutes(const StateTree& state);

}  // namespace kilter::formats

namespace kilter::torch {

/// Why `node` has to be substituted; nullopt if it can be written as it is.
std::optional<std::string> substitute_reason(const StateTree& state, StateId node);

/// True if weights_only loading accepts the global `name` as a value.
bool is_allowed_global(std::string_view name);
/// True if `key` can be a dictionary's key once written.
bool is_hashable(const StateTree& state, StateId key);

/// The largest decimal integer that pickle's LONG1 can hold (255 bytes) has this many digits.
inline constexpr std::size_t kBigIntDigitsMax = 600;

}  // namespace kilter::torch
