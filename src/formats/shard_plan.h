// How tensors are dealt to shard files, as huggingface_hub does it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace kilter::formats {

/// Deals items of the given sizes to shards in order: a shard is closed when the next item would
/// pass `shard_bytes_max`, and an item that passes it alone gets a shard of its own (before the one
/// being filled). 0 = everything in one shard. Never returns an empty list.
/// Source: huggingface_hub, split_state_dict_into_shards_factory.
std::vector<std::vector<std::size_t>> plan_shards(std::span<const std::uint64_t> sizes,
                                                  std::uint64_t shard_bytes_max);

/// "STEM-00001-of-00003EXT"; number counts from 1.
std::string shard_name(std::string_view stem, std::size_t number, std::size_t count,
                       std::string_view extension);

/// The text of STEM.safetensors.index.json: keys sorted, two spaces, a final newline.
/// `files` pairs tensor names with file names.
std::string shard_index_json(std::uint64_t total_bytes,
                             std::vector<std::pair<std::string, std::string>> files);

}  // namespace kilter::formats
