// Digests people compare.
#pragma once

#include <string>
#include <vector>

#include "kilter/inspect.h"

namespace kilter::ops {

/// Hashes every file of a checkpoint that holds tensors, in one pass each.
/// `data_begins_bytes` is where a safetensors header ends (0: no data-only digest).
Result<std::vector<FileHashes>> hash_files(const CheckpointData& data, io::FileSystem& files,
                                           const RunContext& context);

/// SHA-256 of a tensor's contiguous little-endian bytes, in hexadecimal.
Result<std::string> hash_tensor(const Checkpoint& checkpoint, std::size_t tensor,
                                const RunContext& context);

}  // namespace kilter::ops
