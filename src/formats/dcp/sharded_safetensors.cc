// torch's distributed checkpoints in safetensors mode.
// Source: torch/distributed/checkpoint/_hf_utils.py and hf_storage.py (names and keys).
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/text.h"
#include "base/try.h"
#include "formats/dcp/dcp_reader.h"
#include "formats/dcp/entries.h"
#include "formats/format.h"
#include "formats/merge_data.h"
#include "io/safe_path.h"

namespace kilter::dcp {
namespace {

constexpr std::string_view kShardingKey = "DCP_SHARDING_INFO";
constexpr std::string_view kOffsetsKey = "saved_offsets";
constexpr std::size_t kShardFilesMax = 100'000;

/// A tensor's part in one file.
struct ShardPart {
  TensorInfo view;
  std::vector<std::int64_t> offsets;
};

class ShardedOpening {
 public:
  ShardedOpening(io::FileSystem& files, const std::string& root, const OpenOptions& options)
      : files_(files), root_(root), options_(options) {}

  Result<CheckpointData> run(const std::vector<std::string>& names) {
    data_.format = "dcp";
    data_.root = root_;
    data_.root_is_folder = true;
    for (const std::string& name : names) {
      const auto stat = files_.stat(root_ + "/" + name);
      data_.index.files.push_back({name, stat ? stat->bytes : 0});
    }
    std::size_t count = 0;
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (!is_sharded_safetensors(names[i])) continue;
      if (++count > kShardFilesMax)
        return fail(Error(ErrorCode::kLimitExceeded, "too many shards").at_path(root_));
      KILTER_TRY(read_file(static_cast<std::uint32_t>(i)));
    }
    for (const std::string& name : order_) KILTER_TRY(join(name));
    data_.format_detail =
        fmt::format("torch distributed checkpoint in safetensors, {} files", count);
    KILTER_TRY(data_.index.validate());
    return std::move(data_);
  }

 private:
  Status read_file(std::uint32_t number) {
    const std::string& name = data_.index.files[number].path;
    const std::string path = root_ + "/" + name;
    KILTER_TRY(io::open_beneath(files_, root_, name));
    KILTER_ASSIGN(const auto probe, formats::make_probe(files_, path));
    const formats::Format* format = formats::find_format("safetensors");
    KILTER_ASSIGN(CheckpointData more, format->open({&files_, path, &probe, options_}));
    KILTER_ASSIGN(const Json places, places_in(more, path));
    const auto first = static_cast<std::uint32_t>(data_.index.storages.size());
    for (StorageInfo& storage : more.index.storages) {
      storage.file = number;
      data_.index.storages.push_back(std::move(storage));
    }
    std::move(more.findings.begin(), more.findings.end(), std::back_inserter(data_.findings));
    for (TensorInfo& tensor : more.index.tensors) {
      tensor.storage += first;
      KILTER_ASSIGN(auto offsets, offsets_of(places, tensor, path));
      auto& parts = parts_[tensor.name];
      if (parts.empty()) order_.push_back(tensor.name);
      parts.push_back({std::move(tensor), std::move(offsets)});
    }
    return ok();
  }

  /// Files without the key hold whole tensors.
  static Result<Json> places_in(const CheckpointData& data, const std::string& path) {
    for (const auto& [key, value] : data.metadata) {
      if (key != kShardingKey) continue;
      auto json = parse_json(value);
      if (json && json->is_object()) return json;
      return fail(
          Error(ErrorCode::kMalformed, "DCP_SHARDING_INFO is no JSON object").at_path(path));
    }
    return Json::object();
  }

  static Result<std::vector<std::int64_t>> offsets_of(const Json& places, const TensorInfo& tensor,
                                                      const std::string& path) {
    std::vector<std::int64_t> offsets(tensor.shape.size(), 0);
    const auto entry = places.find(tensor.name);
    if (entry == places.end()) return offsets;
    const auto broken = [&] {
      return fail(Error(ErrorCode::kMalformed, "the place of a shard is not stated soundly")
                      .at_path(path)
                      .at_tensor(tensor.name)
                      .wanted(fmt::format("saved_offsets with {} numbers", offsets.size()),
                              dump_json(*entry, -1).substr(0, 100)));
    };
    if (!entry->is_object() || !entry->contains(kOffsetsKey)) return broken();
    const Json& list = (*entry)[std::string(kOffsetsKey)];
    if (!list.is_array() || list.size() != offsets.size()) return broken();
    for (std::size_t i = 0; i < offsets.size(); ++i) {
      if (!list[i].is_number_integer()) return broken();
      offsets[i] = list[i].get<std::int64_t>();
      if (offsets[i] < 0 || offsets[i] > INT64_MAX - tensor.shape[i]) return broken();
    }
    return offsets;
  }

  Status join(const std::string& name) {
    auto& parts = parts_.at(name);
    TensorInfo whole = parts.front().view;
    for (const ShardPart& part : parts) {
      if (part.view.dtype != whole.dtype || part.view.shape.size() != whole.shape.size())
        return fail(Error(ErrorCode::kMalformed, "shards of a tensor differ in dtype or dimensions")
                        .at_path(root_)
                        .at_tensor(name));
      for (std::size_t d = 0; d < whole.shape.size(); ++d)
        whole.shape[d] = std::max(whole.shape[d], part.offsets[d] + part.view.shape[d]);
    }
    // The same tensor in several files, as replicas are written.
    std::sort(parts.begin(), parts.end(),
              [](const ShardPart& a, const ShardPart& b) { return a.offsets < b.offsets; });
    parts.erase(std::unique(parts.begin(), parts.end(),
                            [](const ShardPart& a, const ShardPart& b) {
                              return a.offsets == b.offsets && a.view.shape == b.view.shape;
                            }),
                parts.end());
    if (parts.front().view.shape == whole.shape && parts.size() == 1) {
      data_.index.tensors.push_back(std::move(parts.front().view));
      return ok();
    }
    auto status = assemble(parts, std::move(whole));
    if (!status) return fail(std::move(status).error().at_path(root_).at_tensor(name));
    return ok();
  }

  Status assemble(const std::vector<ShardPart>& parts, TensorInfo whole) {
    auto assembly = std::make_shared<Assembly>();
    assembly->element = whole.dtype;
    assembly->shape = whole.shape;
    for (const ShardPart& part : parts)
      assembly->pieces.push_back({part.offsets, part.view.shape, part.view.storage,
                                  part.view.offset_elements, part.view.strides});
    KILTER_ASSIGN(whole, add_assembled(std::move(assembly), std::move(whole), &data_.index));
    data_.index.tensors.push_back(std::move(whole));
    return ok();
  }

  io::FileSystem& files_;
  const std::string& root_;
  const OpenOptions& options_;
  std::vector<std::string> order_;
  std::unordered_map<std::string, std::vector<ShardPart>> parts_;
  CheckpointData data_;
};

}  // namespace

bool is_sharded_safetensors(std::string_view name) {
  return glob_match("shard-*-model-*-of-*.safetensors", name);
}

Result<CheckpointData> open_sharded_safetensors(io::FileSystem& files, const std::string& root,
                                                const std::vector<std::string>& names,
                                                const OpenOptions& options) {
  return ShardedOpening(files, root, options).run(names);
}

}  // namespace kilter::dcp
