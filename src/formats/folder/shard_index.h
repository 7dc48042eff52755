// *.index.json: which shard holds which tensor.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kilter/error.h"
#include "kilter/tensor_index.h"

#include "formats/findings.h"

namespace kilter::formats {

inline constexpr std::uint64_t kShardIndexBytesMax = 256ULL << 20;

struct ShardIndex {
  std::vector<std::string> files;  ///< relative to the index, in order of first mention, checked
  std::vector<std::pair<std::string, std::uint32_t>> tensors;  ///< name, number in `files`
  std::optional<std::uint64_t> total_bytes;                    ///< metadata.total_size
};

/// Strict JSON; every file name has passed io::check_relative_name.
/// Errors: kMalformed with offset; kUnsafe for a name that leads out of the folder.
Result<ShardIndex> parse_shard_index(std::string_view text);

/// What a shard really holds.
struct ShardContent {
  bool present = false;
  const std::vector<TensorInfo>* tensors = nullptr;
};

/// Compares the index with its shards (same order as `index.files`), both ways. Rules:
/// shard.missing-file, shard.missing-tensor, shard.moved-tensor, shard.duplicate-tensor (errors to
/// a strict reader), shard.unlisted-tensor and shard.total-size (never).
std::vector<Fault> reconcile_shards(const ShardIndex& index, std::string_view index_path,
                                    const std::vector<ShardContent>& shards);

/// True for the rules above that a strict reader stops at.
bool stops_reading(const Fault& fault);

/// "model-00002-of-00005.safetensors" -> {"model", 2, 5}.
struct ShardName {
  std::string stem;
  std::uint32_t number = 0;
  std::uint32_t count = 0;
};
std::optional<ShardName> parse_shard_name(std::string_view file_name);

}  // namespace kilter::formats
