#include "flow/raw_range.h"

namespace kilter::flow {
namespace {

bool is_raw(const StorageInfo& storage, DType element) {
  return storage.coding == StorageCoding::kRaw &&
         !(storage.big_endian && dtype_row(element).swap_bytes > 1);
}

}  // namespace

std::optional<RawRange> raw_range(const TensorIndex& index, const TensorInfo& tensor) {
  if (tensor.bytes() == 0 || tensor.conjugate || tensor.negative || !tensor.contiguous())
    return std::nullopt;
  const StorageInfo& storage = index.storages[tensor.storage];
  if (!is_raw(storage, tensor.dtype)) return std::nullopt;
  return RawRange{storage.file,
                  storage.offset_bytes + tensor.offset_elements * dtype_row(tensor.dtype).bits / 8};
}

std::optional<RawRange> raw_range(const PlanInput& input, DType dtype) {
  const TensorIndex& index = input.source->index();
  if (input.kind == InputKind::kTensor) return raw_range(index, index.tensors[input.index]);
  if (input.kind == InputKind::kFile)
    return RawRange{static_cast<std::uint32_t>(input.index), input.offset_bytes};
  const StorageInfo& storage = index.storages[input.index];
  if (!is_raw(storage, dtype)) return std::nullopt;
  return RawRange{storage.file, storage.offset_bytes + input.offset_bytes};
}

}  // namespace kilter::flow
