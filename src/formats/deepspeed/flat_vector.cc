#include "formats/deepspeed/flat_vector.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace kilter::deepspeed {

void FlatVector::append(const FlatPart& part) {
  if (part.count == 0) return;
  parts_.push_back(part);
  starts_.push_back(end_);
  end_ += part.count;
}

std::vector<FlatPart> FlatVector::cut(std::uint64_t first, std::uint64_t count) const {
  std::vector<FlatPart> out;
  auto at = static_cast<std::size_t>(std::upper_bound(starts_.begin(), starts_.end(), first) -
                                     starts_.begin());
  for (at -= at > 0 ? 1 : 0; count > 0 && at < parts_.size(); ++at) {
    const std::uint64_t skip = first - starts_[at];
    const std::uint64_t take = std::min(count, parts_[at].count - skip);
    out.push_back({parts_[at].storage, parts_[at].offset_elements + skip, take});
    first += take;
    count -= take;
  }
  return out;
}

std::uint32_t add_joined(const std::vector<FlatPart>& parts, DType dtype, std::string name,
                         TensorIndex* index) {
  const std::uint64_t element_bytes = dtype_row(dtype).bits / 8U;
  StorageInfo storage;
  if (parts.size() == 1 && index->storages[parts[0].storage].coding == StorageCoding::kRaw) {
    storage = index->storages[parts[0].storage];
    storage.crc32.reset();  // of the whole
    storage.offset_bytes += parts[0].offset_elements * element_bytes;
    storage.stored_bytes = storage.bytes = parts[0].count * element_bytes;
  } else {
    auto assembly = std::make_shared<Assembly>();
    assembly->element = dtype;
    std::uint64_t count = 0;
    for (const FlatPart& part : parts) {
      Piece piece;
      piece.offsets = {static_cast<std::int64_t>(count)};
      piece.sizes = {static_cast<std::int64_t>(part.count)};
      piece.strides = {1};
      piece.storage = part.storage;
      piece.offset_elements = part.offset_elements;
      assembly->pieces.push_back(std::move(piece));
      count += part.count;
    }
    assembly->shape = {static_cast<std::int64_t>(count)};
    if (!parts.empty()) storage.file = index->storages[parts[0].storage].file;
    storage.coding = StorageCoding::kPieces;
    storage.bytes = count * element_bytes;
    storage.assembly = std::move(assembly);
  }
  storage.name = std::move(name);
  index->storages.push_back(std::move(storage));
  return static_cast<std::uint32_t>(index->storages.size() - 1);
}

}  // namespace kilter::deepspeed
