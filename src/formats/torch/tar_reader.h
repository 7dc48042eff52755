// Opens torch's oldest layout: a tar of sys_info, pickle, tensors and storages.
// Source: torch/serialization.py, legacy_load. Some tools write it without the member "tensors" and
// with rebuild calls inside the pickle, as later torch does; both are read.
#pragma once

#include "kilter/checkpoint.h"

#include "io/file_system.h"

namespace kilter::torch {

/// Errors: kMalformed, kUnsupported, kLimitExceeded, kUnsafe, kIo with path, tensor, offset.
Result<CheckpointData> open_tar(const io::ReadFile& file, const OpenOptions& options);

}  // namespace kilter::torch
