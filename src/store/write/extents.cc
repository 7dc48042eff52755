#include "store/write/extents.h"

#include <algorithm>

#include "store/format/element.h"

namespace kilter::store {
namespace {

/// The tensor that says best what a storage holds: the largest view of it.
std::vector<const TensorInfo*> main_views(const TensorIndex& index) {
  std::vector<const TensorInfo*> views(index.storages.size(), nullptr);
  for (const TensorInfo& tensor : index.tensors) {
    const TensorInfo*& view = views[tensor.storage];
    if (view == nullptr || tensor.bytes() > view->bytes()) view = &tensor;
  }
  return views;
}

Extent extent_of(const StorageInfo& storage, const TensorInfo* view) {
  Extent extent;
  extent.offset_bytes = storage.offset_bytes;
  extent.bytes = storage.stored_bytes;
  extent.name = storage.name;
  if (view == nullptr) {
    extent.shape = {static_cast<std::int64_t>(extent.bytes)};
    return extent;
  }
  extent.name = view->name;
  // Big-endian numbers are no numbers to a codec.
  if (storage.big_endian) {
    extent.shape = {static_cast<std::int64_t>(extent.bytes)};
    return extent;
  }
  extent.dtype = view->dtype;
  const std::uint64_t bits = dtype_row(view->dtype).bits;
  extent.shape = view->shape;
  if (view->bytes() != extent.bytes || !view->contiguous())
    extent.shape = {static_cast<std::int64_t>(extent.bytes * 8 / bits)};
  return extent;
}

}  // namespace

std::vector<Extent> tensor_extents(io::FileSystem& files, const std::string& path) {
  OpenOptions options;
  options.files = &files;
  const auto checkpoint = open_checkpoint(path, options);
  if (!checkpoint) return {};
  const CheckpointData& data = checkpoint->data();
  // A shard index opens as the folder it lists: those files have extents of their own.
  if (data.root_is_folder || data.index.files.size() != 1) return {};
  const auto views = main_views(data.index);
  std::vector<Extent> extents;
  for (std::size_t i = 0; i < data.index.storages.size(); ++i) {
    const StorageInfo& storage = data.index.storages[i];
    if (storage.coding != StorageCoding::kRaw || storage.stored_bytes < kTensorBytesMin) continue;
    extents.push_back(extent_of(storage, views[i]));
  }
  std::ranges::sort(extents, [](const Extent& a, const Extent& b) {
    return std::pair(a.offset_bytes, b.bytes) < std::pair(b.offset_bytes, a.bytes);
  });
  std::uint64_t end = 0;
  std::erase_if(extents, [&](const Extent& extent) {
    if (extent.offset_bytes < end) return true;
    end = extent.offset_bytes + extent.bytes;
    return false;
  });
  return extents;
}

}  // namespace kilter::store
