// Tensors that lie in live memory, as a source like any other.
#pragma once

#include <memory>
#include <vector>

#include "flow/source.h"

namespace kilter {

/// `storages` has the bytes of each storage of `index`, in its order; where they lie "in the file"
/// is filled in here. They must stay as they are, where they are, while the source is used.
/// `name` stands in messages where a file's path would.
///
/// Errors: kInvalidArgument if the counts differ; as TensorIndex::validate().
Result<std::shared_ptr<const Source>> make_memory_source(TensorIndex index,
                                                         std::vector<Bytes> storages,
                                                         std::string name);

}  // namespace kilter
