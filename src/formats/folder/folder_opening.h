// A folder opened file by file and put together.
#pragma once

#include "kilter/checkpoint.h"

#include "formats/folder/roster.h"
#include "formats/format.h"

namespace kilter::formats {

/// Opens every file of the folder that a format claims, reconciles shards with their indexes, and
/// joins all into one checkpoint. Files are opened on several threads; the result does not depend
/// on that. With options.lenient every fault is a finding.
/// Errors: kMalformed, kUnsafe, kIo … of the first fault, with path and tensor; kUnsupported if
/// there is neither a tensor, nor state, nor a document.
Result<CheckpointData> open_folder(const OpenArguments& arguments);

}  // namespace kilter::formats
