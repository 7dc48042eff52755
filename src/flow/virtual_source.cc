#include "flow/virtual_source.h"

#include <utility>

namespace kilter {

std::string VirtualSource::file_path(std::uint32_t) const { return name_; }

Status VirtualSource::read_storage(std::size_t, DType, std::uint64_t, std::span<std::byte>) const {
  return fail(ErrorCode::kInternal, "a computed tensor has no storage");
}

Status VirtualSource::read_file(std::uint32_t, std::uint64_t, std::span<std::byte>) const {
  return fail(ErrorCode::kInternal, "a computed tensor has no file");
}

std::size_t VirtualSource::add_tensor(std::string name, DType dtype,
                                      std::vector<std::int64_t> shape) {
  TensorInfo info;
  info.name = std::move(name);
  info.dtype = dtype;
  info.strides = contiguous_strides(shape);
  info.shape = std::move(shape);
  info.storage = static_cast<std::uint32_t>(index_.storages.size());
  StorageInfo storage;  // inline: no bytes of a file that could be read past this source
  storage.coding = StorageCoding::kInline;
  storage.bytes = info.bytes();
  storage.name = info.name;
  index_.storages.push_back(std::move(storage));
  index_.tensors.push_back(std::move(info));
  return index_.tensors.size() - 1;
}

}  // namespace kilter
