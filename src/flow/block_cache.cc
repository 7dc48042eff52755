#include "flow/block_cache.h"

#include <algorithm>
#include <cstring>

#include "base/try.h"
#include "flow/assembled_read.h"
#include "flow/inflate.h"
#include "flow/strided_read.h"

namespace kilter::flow {
namespace {

/// Tensors up to this size are read as they are: few reads, whatever their length.
constexpr std::uint64_t kSmallBytes = 1ULL << 20;
/// Reading may cost this many times what the bytes themselves do.
constexpr std::uint64_t kCostFactorMax = 2;
constexpr std::uint64_t kSampleBytes = 8ULL << 20;  // about a tile

bool is_stream(StorageCoding coding) {
  return coding == StorageCoding::kDeflate || coding == StorageCoding::kZstd;
}

/// More compressed streams take part in every row than are kept open: each range of rows would
/// decode them all from their beginnings.
bool takes_turns(const TensorIndex& index, const StorageInfo& storage) {
  if (storage.coding != StorageCoding::kPieces) return false;
  std::size_t streams = 0;
  for (const Piece& piece : storage.assembly->pieces)
    if (is_stream(index.storages[piece.storage].coding)) ++streams;
  return streams > InflateCache::kCursorsMax && AssembledReader(*storage.assembly).interleaved();
}

}  // namespace

bool wants_blocks(const TensorIndex& index, const TensorInfo& tensor) {
  const std::uint64_t bytes = tensor.bytes();
  if (bytes <= kSmallBytes) return false;
  const StorageInfo& storage = index.storages[tensor.storage];
  if (takes_turns(index, storage)) return true;
  if (tensor.contiguous()) return false;
  if (storage.coding == StorageCoding::kInline) return false;
  if (is_stream(storage.coding)) return true;
  const std::uint64_t sample = std::min(bytes, kSampleBytes);
  const std::uint64_t elements = sample / (dtype_row(tensor.dtype).bits / 8U);
  return StridedReader(tensor).read_cost_bytes(elements) > kCostFactorMax * sample;
}

BlockCache::BlockCache(std::uint64_t block_bytes)
    : block_bytes_(block_bytes), buffers_(block_bytes, kBlockCount), slots_(kBlockCount) {}

Status BlockCache::read(const Source& source, std::size_t tensor, std::uint64_t offset_bytes,
                        std::span<std::byte> out, std::uint64_t scratch_bytes_max) {
  while (!out.empty()) {
    const Block block{&source, tensor, offset_bytes / block_bytes_};
    const std::uint64_t skip = offset_bytes % block_bytes_;
    const auto part = out.first(std::min<std::uint64_t>(out.size(), block_bytes_ - skip));
    KILTER_TRY(read_in_block(block, skip, part, scratch_bytes_max));
    offset_bytes += part.size();
    out = out.subspan(part.size());
  }
  return ok();
}

Status BlockCache::read_in_block(const Block& block, std::uint64_t skip_bytes,
                                 std::span<std::byte> out, std::uint64_t scratch_bytes_max) {
  Lock lock(mutex_);
  while (true) {
    Slot* slot = find(block);
    if (slot != nullptr && slot->state == State::kReady) {
      copy(*slot, skip_bytes, out, lock);
      return ok();
    }
    if (slot != nullptr) {
      if (!bring_next(block, scratch_bytes_max, lock)) changed_.wait(lock);
    } else if (Slot* target = claim(block)) {
      KILTER_TRY(load(*target, block, scratch_bytes_max, lock));
    } else if (too_late(block)) {
      // Later blocks of the tensor hold all the memory: a straggler reads for itself.
      lock.unlock();
      return block.source->read_tensor(block.tensor, block.number * block_bytes_ + skip_bytes, out,
                                       scratch_bytes_max);
    } else {
      changed_.wait(lock);  // every slot is at work, and will be free after that
    }
  }
}

BlockCache::Slot* BlockCache::find(const Block& block) {
  const auto found = std::find_if(slots_.begin(), slots_.end(), [&](const Slot& slot) {
    return slot.state != State::kEmpty && slot.block == block;
  });
  return found == slots_.end() ? nullptr : &*found;
}

/// A slot that may be filled with `block`: empty, or the one not used for the longest time; none
/// that is in use or holds a later block of the same tensor.
BlockCache::Slot* BlockCache::claim(const Block& block) {
  Slot* best = nullptr;
  for (Slot& slot : slots_) {
    if (slot.state == State::kEmpty) return &slot;
    if (slot.state == State::kLoading || slot.users != 0 || block.is_before(slot.block)) continue;
    if (best == nullptr || slot.used_at < best->used_at) best = &slot;
  }
  return best;
}

bool BlockCache::too_late(const Block& block) const {
  return std::all_of(slots_.begin(), slots_.end(), [&](const Slot& slot) {
    return slot.state != State::kEmpty && block.is_before(slot.block);
  });
}

/// While `block` is on its way: brings the one after it. False if there is nothing to do.
bool BlockCache::bring_next(const Block& block, std::uint64_t scratch_bytes_max, Lock& lock) {
  const Block next{block.source, block.tensor, block.number + 1};
  const std::uint64_t total = block.source->index().tensors[block.tensor].bytes();
  if (next.number * block_bytes_ >= total || find(next) != nullptr) return false;
  Slot* target = claim(next);
  if (target == nullptr) return false;
  // An error will come again to who needs that block.
  static_cast<void>(load(*target, next, scratch_bytes_max, lock));
  return true;
}

Status BlockCache::load(Slot& slot, const Block& block, std::uint64_t scratch_bytes_max,
                        Lock& lock) {
  slot.state = State::kLoading;
  slot.block = block;
  lock.unlock();
  Status status;
  if (!slot.buffer) {
    auto buffer = buffers_.take();
    if (buffer) slot.buffer = std::move(*buffer);
    if (!buffer) status = fail(std::move(buffer).error());
  }
  if (status) {
    const std::uint64_t begin = block.number * block_bytes_;
    const std::uint64_t total = block.source->index().tensors[block.tensor].bytes();
    const auto out = slot.buffer.span().first(std::min(block_bytes_, total - begin));
    status = block.source->read_tensor(block.tensor, begin, out, scratch_bytes_max);
  }
  lock.lock();
  slot.state = status ? State::kReady : State::kEmpty;
  slot.used_at = ++clock_;
  changed_.notify_all();
  return status;
}

void BlockCache::copy(Slot& slot, std::uint64_t skip_bytes, std::span<std::byte> out, Lock& lock) {
  ++slot.users;
  slot.used_at = ++clock_;
  lock.unlock();
  std::memcpy(out.data(), slot.buffer.span().data() + skip_bytes, out.size());
  lock.lock();
  --slot.users;
  changed_.notify_all();
}

}  // namespace kilter::flow
