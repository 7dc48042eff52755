// Tensors whose order on disk is far from the order they are written in.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "flow/plan.h"
#include "io/buffer_pool.h"

namespace kilter::flow {

/// True if reading this tensor tile by tile takes too many short reads, or passes over compressed
/// data again and again: larger blocks then cost less.
bool wants_blocks(const TensorIndex& index, const TensorInfo& tensor);

/// Reads such tensors in blocks much larger than a tile and serves tiles from them. The larger the
/// block, the longer the runs: a transposed matrix of R rows gives runs of (block bytes / R).
/// Threads that need a block that is on its way bring the next one meanwhile. Thread-safe.
class BlockCache {
 public:
  static constexpr std::size_t kBlockCount = 2;

  /// Memory is taken when the first block is read.
  explicit BlockCache(std::uint64_t block_bytes);

  /// Bytes [offset_bytes, offset_bytes + out.size()) of the tensor's contiguous form.
  Status read(const Source& source, std::size_t tensor, std::uint64_t offset_bytes,
              std::span<std::byte> out, std::uint64_t scratch_bytes_max);

 private:
  struct Block {
    const Source* source = nullptr;
    std::size_t tensor = 0;
    std::uint64_t number = 0;
    bool operator==(const Block&) const = default;
    bool is_before(const Block& other) const {
      return source == other.source && tensor == other.tensor && number < other.number;
    }
  };
  enum class State : std::uint8_t { kEmpty, kLoading, kReady };
  struct Slot {
    State state = State::kEmpty;
    Block block;
    unsigned users = 0;
    std::uint64_t used_at = 0;
    io::Buffer buffer;
  };
  using Lock = std::unique_lock<std::mutex>;

  Status read_in_block(const Block& block, std::uint64_t skip_bytes, std::span<std::byte> out,
                       std::uint64_t scratch_bytes_max);
  Slot* find(const Block& block);
  Slot* claim(const Block& block);
  bool too_late(const Block& block) const;
  bool bring_next(const Block& block, std::uint64_t scratch_bytes_max, Lock& lock);
  Status load(Slot& slot, const Block& block, std::uint64_t scratch_bytes_max, Lock& lock);
  void copy(Slot& slot, std::uint64_t skip_bytes, std::span<std::byte> out, Lock& lock);

  std::uint64_t block_bytes_;
  io::BufferPool buffers_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t clock_ = 0;
  std::vector<Slot> slots_;  // after the pool: buffers go back to it
};

}  // namespace kilter::flow
