#include <algorithm>
#include <utility>

#include "flow/load.h"

namespace kilter {
namespace {

/// Storages shown as tensors of bytes, so that what loads tensors loads them too.
class StorageView final : public Source {
 public:
  explicit StorageView(std::shared_ptr<const Source> inner) : inner_(std::move(inner)) {
    const TensorIndex& index = inner_->index();
    index_.files = index.files;
    index_.storages = index.storages;
    elements_.assign(index.storages.size(), DType::kU8);
    std::vector<bool> known(index.storages.size(), false);
    for (const TensorInfo& tensor : index.tensors) {
      if (known[tensor.storage]) continue;
      known[tensor.storage] = true;
      elements_[tensor.storage] = tensor.dtype;
    }
    index_.tensors.resize(index.storages.size());
    for (std::size_t i = 0; i < index.storages.size(); ++i) show(i);
  }

  const TensorIndex& index() const override { return index_; }
  std::string file_path(std::uint32_t file) const override { return inner_->file_path(file); }
  Status read_tensor(std::size_t tensor, std::uint64_t offset_bytes, std::span<std::byte> out,
                     std::uint64_t) const override {
    return inner_->read_storage(tensor, elements_[tensor], offset_bytes, out);
  }
  Status read_storage(std::size_t storage, DType element, std::uint64_t offset_bytes,
                      std::span<std::byte> out) const override {
    return inner_->read_storage(storage, element, offset_bytes, out);
  }
  Status read_file(std::uint32_t file, std::uint64_t offset_bytes,
                   std::span<std::byte> out) const override {
    return inner_->read_file(file, offset_bytes, out);
  }
  const io::ReadFile* raw_file(std::uint32_t file) const override { return inner_->raw_file(file); }
  std::shared_ptr<const io::ReadFile> open_file(std::uint32_t file) const override {
    return inner_->open_file(file);
  }

 private:
  void show(std::size_t storage) {
    StorageInfo& info = index_.storages[storage];
    // Bytes have no order: what must be swapped is marked as what must be decoded.
    if (info.big_endian && dtype_row(elements_[storage]).swap_bytes > 1)
      info.coding = StorageCoding::kDeflate;
    TensorInfo& tensor = index_.tensors[storage];
    tensor.name = info.name;
    tensor.dtype = DType::kU8;
    tensor.storage = static_cast<std::uint32_t>(storage);
    tensor.shape = {static_cast<std::int64_t>(info.bytes)};
    tensor.strides = {1};
  }

  std::shared_ptr<const Source> inner_;
  TensorIndex index_;
  std::vector<DType> elements_;
};

}  // namespace

Result<std::unique_ptr<LoadedTensors>> load_storages(std::shared_ptr<const Source> source,
                                                     LoadMode mode, const RunContext& context,
                                                     MapAccess access) {
  return load_tensors(std::make_shared<StorageView>(std::move(source)), mode, context, access);
}

}  // namespace kilter
