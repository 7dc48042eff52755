// Entries of a distributed checkpoint as they join the whole, whoever saved it.
#pragma once

#include <memory>
#include <string>

#include "kilter/checkpoint.h"

namespace kilter::dcp {

/// Adds the storage that `assembly` makes up and gives `whole` (name, dtype and shape are set) as a
/// contiguous view of it. Errors: those of flow::check_assembly; nothing is added then.
Result<TensorInfo> add_assembled(std::shared_ptr<Assembly> assembly, TensorInfo whole,
                                 TensorIndex* index);

/// Appends an opened object; its storages carry file numbers of `data` already. A tensor that was
/// saved as an object has no name of its own and gets this one. Returns its node, kNoState if none.
StateId add_object(CheckpointData object, const std::string& name, CheckpointData* data);

/// A fault is an error to a strict reader; a lenient one goes on without the entry, and a finding
/// says why. `error` has its path.
Status lose_entry(const std::string& name, Error error, const OpenOptions& options,
                  CheckpointData* data);

}  // namespace kilter::dcp
