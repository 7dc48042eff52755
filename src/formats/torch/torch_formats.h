// PyTorch's three containers: zip (1.6 and later), the legacy stream (0.1.10 to 1.5), tar (before).
#pragma once

#include <string>
#include <vector>

#include "kilter/state_tree.h"

#include "formats/format.h"

namespace kilter::formats {

/// "torch-zip": also TorchScript archives. The one of the three that Kilter writes.
const Format& torch_zip_format();
/// "torch-legacy": magic, protocol 1001, system info, object, keys, raw storages.
const Format& torch_legacy_format();
/// "torch-tar": members sys_info, pickle, storages and mostly tensors.
const Format& torch_tar_format();

/// A state node that torch.load(weights_only=True) would refuse as it is, and that the writer
/// therefore writes as a plain dict {"__class__", "args", "state", "items"}.
struct TorchSubstitute {
  StateId node = kNoState;
  std::string class_name;  ///< "argparse.Namespace"
};

/// Every such node reachable from the root, in the order the writer meets them.
std::vector<TorchSubstitute> torch_substitutes(const StateTree& state);

}  // namespace kilter::formats
