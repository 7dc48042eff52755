#include "formats/shard_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/json.h"

namespace kilter::formats {

std::vector<std::vector<std::size_t>> plan_shards(std::span<const std::uint64_t> sizes,
                                                  std::uint64_t shard_bytes_max) {
  std::vector<std::vector<std::size_t>> shards;
  std::vector<std::size_t> filling;
  std::uint64_t filled_bytes = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (shard_bytes_max != 0 && sizes[i] > shard_bytes_max) {
      shards.push_back({i});
      continue;
    }
    if (shard_bytes_max != 0 && sizes[i] > shard_bytes_max - filled_bytes) {
      shards.push_back(std::exchange(filling, {}));
      filled_bytes = 0;
    }
    filling.push_back(i);
    filled_bytes += sizes[i];
  }
  if (!filling.empty() || shards.empty()) shards.push_back(std::move(filling));
  return shards;
}

std::string shard_name(std::string_view stem, std::size_t number, std::size_t count,
                       std::string_view extension) {
  return fmt::format("{}-{:05d}-of-{:05d}{}", stem, number, count, extension);
}

std::string shard_index_json(std::uint64_t total_bytes,
                             std::vector<std::pair<std::string, std::string>> files) {
  std::sort(files.begin(), files.end());
  Json map = Json::object();
  auto& entries = map.get_ref<Json::object_t&>();
  // Appended as a plain list: names are unique, and the ordered map would search for each.
  for (auto& [name, file] : files)
    static_cast<Json::object_t::Container&>(entries).emplace_back(name, file);
  Json root = Json::object();
  root["metadata"]["total_size"] = total_bytes;
  root["weight_map"] = std::move(map);
  return dump_json(root, 2) + "\n";
}

}  // namespace kilter::formats
