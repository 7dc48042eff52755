// A torch distributed checkpoint as one checkpoint: pieces joined, state nested as it was.
#pragma once

#include <string>
#include <vector>

#include "kilter/checkpoint.h"

#include "formats/dcp/metadata.h"
#include "io/file_system.h"

namespace kilter::dcp {

/// An item that the metadata lists.
struct Item {
  std::size_t entry = 0;  ///< in Metadata::entries
  std::size_t chunk = 0;  ///< of its tensor
  const Place* place = nullptr;
};

/// Reads `.metadata` in `root`. Errors: those of parse_metadata; kMalformed where only its draft or
/// only data is there: the save never finished. kIo.
Result<Metadata> read_metadata(io::FileSystem& files, const std::string& root,
                               const std::vector<std::string>& names,
                               std::uint64_t header_bytes_max);

/// The items with content, by entry and chunk; a chunk that is stated twice counts once. Items that
/// were never written have no place.
std::vector<Item> list_items(const Metadata& metadata);

/// "dir/__0_0.distcp!layers.0.weight": how messages call an item.
std::string item_path(const std::string& root, const Place& place, const std::string& fqn);

/// Opens all items from their headers, on several threads. `names` are the folder's files, relative
/// and sorted: all of them get into the index. With options.lenient, tensors that are not whole are
/// left out and findings say why.
/// Errors: kMalformed, kUnsupported, kUnsafe, kLimitExceeded, kIo with path and tensor.
Result<CheckpointData> open_dcp(io::FileSystem& files, const std::string& root,
                                const std::vector<std::string>& names, const OpenOptions& options);

/// True for "shard-00001-model-00001-of-00002.safetensors": a rank's part of a checkpoint in
/// torch's safetensors mode.
bool is_sharded_safetensors(std::string_view name);

/// The same for that mode: places come from each file's DCP_SHARDING_INFO, names are flat.
Result<CheckpointData> open_sharded_safetensors(io::FileSystem& files, const std::string& root,
                                                const std::vector<std::string>& names,
                                                const OpenOptions& options);

}  // namespace kilter::dcp
