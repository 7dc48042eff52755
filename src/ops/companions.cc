#include "ops/companions.h"

#include <algorithm>
#include <set>
#include <string>

#include "formats/tensorflow/tensorflow_format.h"

namespace kilter::ops {
namespace {

bool is_named(const std::string& path, std::string_view name) {
  return path.ends_with(name) &&
         (path.size() == name.size() || path[path.size() - name.size() - 1] == '/');
}

/// Files that mean nothing without those a conversion replaces, or that hold what it took over.
bool is_replaced(const std::string& path, const std::set<std::string>& bundle_indexes) {
  constexpr std::string_view kSuffixes[] = {".index.json", ".state.json", ".safetensors", ".bin",
                                            ".pt",         ".pth",        ".distcp"};
  // What DeepSpeed leaves beside a tag's folder.
  constexpr std::string_view kNames[] = {"latest", "latest_universal", "zero_to_fp32.py",
                                         "zero_to_torch.py"};
  return std::any_of(std::begin(kSuffixes), std::end(kSuffixes),
                     [&](std::string_view suffix) { return path.ends_with(suffix); }) ||
         std::find(std::begin(kNames), std::end(kNames), path) != std::end(kNames) ||
         is_named(path, ".metadata") || formats::prefix_of_data(path) ||
         bundle_indexes.contains(path);
}

}  // namespace

std::vector<std::uint32_t> companion_files(const CheckpointData& data) {
  std::set<std::uint32_t> weights;
  std::set<std::string> bundle_indexes;
  for (const FileEntry& file : data.index.files)
    if (const auto prefix = formats::prefix_of_data(file.path))
      bundle_indexes.insert(*prefix + ".index");
  for (const StorageInfo& storage : data.index.storages) weights.insert(storage.file);
  std::vector<std::uint32_t> out;
  for (std::uint32_t i = 0; i < data.index.files.size(); ++i) {
    const std::string& path = data.index.files[i].path;
    if (!weights.contains(i) && !is_replaced(path, bundle_indexes)) out.push_back(i);
  }
  return out;
}

PlanOutput companion_output(const Checkpoint& source, std::uint32_t file) {
  const FileEntry& entry = source.data().index.files[file];
  PlanOutput output;
  output.name = entry.path;
  output.dtype = DType::kU8;
  output.shape = {static_cast<std::int64_t>(entry.bytes)};
  output.bytes = entry.bytes;
  output.inputs = {{source.source(), InputKind::kFile, file, 0}};
  return output;
}

}  // namespace kilter::ops
