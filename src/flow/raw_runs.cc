#include "flow/raw_runs.h"

#include <array>

#include "base/checked.h"
#include "flow/raw_range.h"

namespace kilter::flow {

const AssembledReader& RawRuns::reader(std::uint32_t storage) {
  std::lock_guard lock(mutex_);
  auto& reader = readers_[storage];
  if (!reader) reader = std::make_unique<AssembledReader>(*index_.storages[storage].assembly);
  return *reader;
}

std::vector<RawRun> RawRuns::find(std::size_t tensor, std::uint64_t offset_bytes,
                                  std::span<std::byte> out) {
  if (tensor >= index_.tensors.size()) return {};
  const TensorInfo& info = index_.tensors[tensor];
  if (!range_fits(offset_bytes, out.size(), info.bytes())) return {};
  if (const auto range = raw_range(index_, info))
    return {{range->file, range->offset_bytes + offset_bytes, out}};
  const StorageInfo& storage = index_.storages[info.storage];
  if (storage.coding != StorageCoding::kPieces || !info.contiguous() || info.conjugate ||
      info.negative)
    return {};
  const Assembly& assembly = *storage.assembly;
  const std::uint64_t unit = dtype_row(assembly.element).bits / 8U;
  const std::uint64_t begin = info.offset_elements * dtype_row(info.dtype).bits / 8 + offset_bytes;
  if (begin % unit != 0 || out.size() % unit != 0) return {};
  std::vector<RawRun> runs;
  TensorInfo view;
  view.dtype = assembly.element;
  // The reader's own walk, with nothing read: what it would lay out from scratch memory is no run.
  const auto note = [&](const Piece& piece, std::uint64_t first, std::span<std::byte> to) {
    view.shape = piece.sizes;
    view.strides = piece.strides;
    view.storage = piece.storage;
    view.offset_elements = piece.offset_elements;
    const auto range = raw_range(index_, view);
    const bool inside = to.data() >= out.data() && to.data() < out.data() + out.size();
    if (!range || !inside) return Status(fail(ErrorCode::kUnsupported, "no run"));
    runs.push_back({range->file, range->offset_bytes + first * unit, to});
    return ok();
  };
  std::array<std::byte, 16> scratch;
  if (!reader(info.storage).read(note, begin / unit, out, scratch)) runs.clear();
  return runs;
}

}  // namespace kilter::flow
