// Items that were written through torch's Zstandard extension.
// Source: torch/distributed/checkpoint/_extension.py ("stream.zstd/1").
#pragma once

#include <string>
#include <vector>

#include "kilter/checkpoint.h"

#include "formats/dcp/metadata.h"
#include "io/file_system.h"

namespace kilter::dcp {

/// True for a transform that Kilter undoes.
bool is_zstd(std::string_view transform);

/// The decoded item, at most `bytes_max` bytes of it. Errors: kMalformed, kIo with path and offset.
Result<std::vector<std::byte>> decode_item(const io::ReadFile& file, const Place& place,
                                           std::uint64_t bytes_max);

/// Opens a compressed tensor by decoding only its first bytes: its storage is the stream itself.
/// Errors: kMalformed where they are not how torch writes a tensor.
Result<CheckpointData> open_compressed_tensor(const io::ReadFile& file, const Place& place,
                                              const std::string& path, const OpenOptions& options);

/// Opens a compressed object, decoded whole: storages inside hold copies of their bytes.
/// Errors: kLimitExceeded past 256 MiB; those of torch::open_zip.
Result<CheckpointData> open_compressed_object(const io::ReadFile& file, const Place& place,
                                              const std::string& path, const OpenOptions& options);

}  // namespace kilter::dcp
