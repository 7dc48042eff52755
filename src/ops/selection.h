// Which tensors a conversion takes and what they are called afterwards.
#pragma once

#include <string>
#include <vector>

#include "kilter/convert.h"

namespace kilter::ops {

/// One tensor of the source and its fate.
struct Selected {
  std::size_t tensor = 0;  ///< index in the source
  std::string name;        ///< in the target; empty if dropped
  std::string reason;      ///< the rule that dropped or renamed it
};

struct Selection {
  std::vector<Selected> tensors;  ///< one for each tensor of the source, in its order
  std::string unwrapped;          ///< container path removed from every name, as "state_dict."
  bool whole = true;              ///< nothing was dropped or renamed by options
  std::vector<std::size_t> fits;  ///< by --rename rule: how many tensors it renamed
};

/// Applies --part, --only and --rename, and removes a container (`state_dict`, `model`, …) that
/// holds every tensor of the file. Errors: kInvalidArgument when nothing matches, a rename is
/// malformed, or two tensors would get one name (both are named).
Result<Selection> select_tensors(const CheckpointData& data, const ConvertOptions& options);

/// The dict under `node` itself or, for a dict-like object, under its entries; kNoState if neither.
StateId dict_of(const StateTree& tree, StateId node);

/// The path of string keys whose dict holds every tensor: {"state_dict"}; empty if there is none.
std::vector<std::string> container_path(const StateTree& tree);

}  // namespace kilter::ops
