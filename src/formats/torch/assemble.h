// From a pickle that torch wrote to a checkpoint: what zip, legacy and tar share.
#pragma once

#include <string>
#include <vector>

#include "kilter/checkpoint.h"

#include "formats/pickle/lift.h"
#include "formats/torch/storages.h"

namespace kilter::torch {

/// Budgets of the machine for a header of at most `header_bytes_max`.
pickle::Limits pickle_limits(std::uint64_t header_bytes_max);

/// Runs the pickle in `bytes` (all of it is one stream; more streams become findings) and lifts it
/// into `data`. `pickle_path` ("model.pt!archive/data.pkl") is where errors and findings point.
/// Errors: kMalformed, kLimitExceeded, kUnsupported, kUnsafe with path and offset.
Status lift_pickle(Bytes bytes, const std::string& pickle_path, const OpenOptions& options,
                   StorageTable* table, CheckpointData* data);

/// The same from a graph that was run already, which loses what is not needed on the way. `first`,
/// if given, is asked before torch's own hooks. Sources of classes that old files carry along
/// become documents "source/<class>.py".
Status lift_graph(pickle::Graph* graph, pickle::NodeId root, const std::string& pickle_path,
                  const OpenOptions& options, StorageTable* table, CheckpointData* data,
                  pickle::LiftHooks* first = nullptr);

/// Turns faults of storages into errors (strict) or findings (lenient) that name tensors, and
/// checks every view. Lenient: tensors whose bytes are not all there are taken out, and their place
/// in the state says so. Errors: kMalformed with path, tensor and offset.
Status settle(const OpenOptions& options, StorageTable* table, CheckpointData* data);

/// Appends `more` (state, storages, tensors) to `data`: its tensors get `prefix` before their
/// names, its state becomes entry `key` beside the entry `own_key` of a new root.
void merge(CheckpointData more, std::string_view own_key, std::string_view key,
           std::string_view prefix, CheckpointData* data);

/// What marks the place of a tensor that was taken out: a kObject of this class with the name.
inline constexpr std::string_view kLostTensor = "kilter.LostTensor";

}  // namespace kilter::torch
