// The `.metadata` of a torch distributed checkpoint, as plain data.
// Source: torch/distributed/checkpoint/{metadata,filesystem,default_planner}.py (names of classes
// and of their attributes).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kilter/dtype.h"
#include "kilter/error.h"

#include "base/byte_reader.h"

namespace kilter::dcp {

inline constexpr std::string_view kMetadataName = ".metadata";
inline constexpr std::string_view kUnfinishedName = ".metadata.tmp";
inline constexpr std::string_view kDataSuffix = ".distcp";

/// A box of a tensor that was saved as one item.
struct Chunk {
  std::vector<std::int64_t> offsets;
  std::vector<std::int64_t> sizes;
};

/// One name of the flattened state: a tensor in chunks, or an object.
struct Entry {
  std::string fqn;
  bool is_tensor = false;
  DType dtype = DType::kF32;
  bool requires_grad = false;
  std::vector<std::int64_t> size;
  std::vector<Chunk> chunks;
};

/// A step on the way to an entry in the nested state: a key, or a position in a list.
struct PathPart {
  std::string key;
  std::optional<std::int64_t> position;
};

/// Where the bytes of an item lie.
struct Place {
  std::string file;  ///< relative to the checkpoint's folder; not yet checked
  std::uint64_t offset_bytes = 0;
  std::uint64_t bytes = 0;
  std::vector<std::string> transforms;  ///< to undo, in this order: "stream.zstd/1"
};

struct Metadata {
  std::vector<Entry> entries;  ///< in the file's order, each name once
  /// Empty where the file holds none (older versions, or planners that do not flatten).
  std::map<std::string, std::vector<PathPart>, std::less<>> paths;
  std::map<std::pair<std::string, std::vector<std::int64_t>>, Place> chunk_places;
  std::map<std::string, Place, std::less<>> object_places;
  std::string version;     ///< "1.0.0"; empty in older files
  std::string class_name;  ///< "torch.distributed.checkpoint.metadata.Metadata"

  /// nullptr if the item was never written.
  const Place* find(const std::string& fqn, const std::vector<std::int64_t>& offsets) const;
};

/// Reads the pickle without running it. `path` is for messages.
/// Errors: kMalformed, kLimitExceeded with path and offset; kUnsupported for metadata of other
/// systems that use the same file name.
Result<Metadata> parse_metadata(Bytes bytes, const std::string& path,
                                std::uint64_t header_bytes_max);

}  // namespace kilter::dcp
