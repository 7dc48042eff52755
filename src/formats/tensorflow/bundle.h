// A bundle: P.index, which says what lies where, and P.data-00000-of-0000N, which hold the bytes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kilter/checkpoint.h"

#include "io/file_system.h"

namespace kilter::tensorflow {

/// Bytes of a data file that the index states a checksum of.
struct SummedRange {
  std::string tensor;
  std::uint32_t file = 0;  ///< in data.index.files
  std::uint64_t offset_bytes = 0;
  std::uint64_t bytes = 0;
  std::uint32_t crc32c = 0;
};

struct Bundle {
  CheckpointData data;
  /// Of numeric tensors and of parts of partitioned ones. Checksums of the index and of strings
  /// were verified while opening.
  std::vector<SummedRange> ranges;
};

/// "a/model.ckpt-3" of "a/model.ckpt-3.index"; a path that does not end so is its own prefix.
std::string bundle_prefix(const std::string& index_path);
/// "variables.data-00002-of-00005".
std::string shard_name(std::string_view prefix, std::uint32_t shard, std::uint32_t shard_count);

/// Opens the bundle whose index is the file `index_name` beneath `root`.
/// Errors: kMalformed, kCorrupt, kUnsupported (V1 checkpoints, other tables), kLimitExceeded, kIo
/// with path, tensor and offset. With options.lenient, faults of tensors become findings.
Result<Bundle> open_bundle(io::FileSystem& files, const std::string& root,
                           const std::string& index_name, const OpenOptions& options);

}  // namespace kilter::tensorflow
