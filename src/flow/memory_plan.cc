#include "flow/memory_plan.h"

#include <algorithm>
#include <bit>

#include "base/text.h"
#include "flow/block_cache.h"
#include "flow/engine.h"
#include "io/buffer_pool.h"

namespace kilter::flow {
namespace {

constexpr std::uint64_t kMiB = 1ULL << 20;
/// Inflate cursors, queue entries, layouts: what no pool counts.
constexpr std::uint64_t kFixedBytes = 2 * kMiB;
/// Larger tiles no longer make writes faster; smaller ones begin to cost.
constexpr std::uint64_t kTileBytesBest = 8 * kMiB;
constexpr std::uint64_t kBlockUnit = kMiB;  ///< whole elements of any dtype
constexpr std::uint64_t kTileBytesLeast = 64ULL << 10;
constexpr std::size_t kTilesMost = 12;
constexpr std::size_t kStagingMost = 6;
constexpr std::uint64_t kSmallTilesBytes = 4 * kMiB;  ///< small tiles may be more in number

std::uint64_t choose_tile_bytes(std::uint64_t rest) {
  return std::clamp(std::bit_floor(rest / 6), kTileBytesLeast, kTileBytesBest);
}

}  // namespace

Result<MemoryPlan> plan_memory(const MemoryNeeds& needs) {
  const std::uint64_t budget = needs.budget_bytes;
  if (budget < kEngineMemoryBytesMin)
    return fail(Error(ErrorCode::kInvalidArgument, "the memory budget is too small")
                    .wanted("at least " + format_bytes(kEngineMemoryBytesMin), format_bytes(budget))
                    .advise("raise --max-memory"));
  if (needs.tile_bytes % io::kDirectAlignBytes != 0)
    return fail(Error(ErrorCode::kInvalidArgument, "the tile size is no multiple of 4 KiB")
                    .wanted("a multiple of 4096", std::to_string(needs.tile_bytes)));
  MemoryPlan plan;
  plan.scratch_bytes = budget >= 128 * kMiB ? 4 * kMiB : kMiB;
  plan.kernel_bytes = needs.has_kernels ? plan.scratch_bytes : 0;
  plan.block_bytes =
      needs.has_blocks ? budget / 2 / BlockCache::kBlockCount / kBlockUnit * kBlockUnit : 0;
  const std::uint64_t each = plan.scratch_bytes + plan.kernel_bytes;
  const auto most_threads = static_cast<unsigned>(
      std::min<std::uint64_t>(budget / (needs.has_blocks ? 8 : 4) / each, 1024));
  plan.thread_count = std::clamp(needs.thread_count, 1U, std::max(most_threads, 1U));
  const std::uint64_t rest = budget - kFixedBytes - plan.block_bytes * BlockCache::kBlockCount -
                             each * plan.thread_count;  // positive: at most 2 + 8 + 4 of 16 MiB
  plan.tile_bytes = needs.tile_bytes != 0 ? needs.tile_bytes : choose_tile_bytes(rest);
  if (plan.tile_bytes > rest)
    return fail(Error(ErrorCode::kInvalidArgument, "the memory budget does not hold one tile")
                    .wanted("at least " + format_bytes(budget - rest + plan.tile_bytes),
                            format_bytes(budget))
                    .advise("raise --max-memory"));
  const std::uint64_t most_tiles = std::max<std::uint64_t>(
      kTilesMost, std::min<std::uint64_t>(64, kSmallTilesBytes / plan.tile_bytes));
  plan.tile_count = static_cast<std::size_t>(
      std::clamp<std::uint64_t>(rest * 2 / 3 / plan.tile_bytes, 1, most_tiles));
  plan.staging_bytes = plan.tile_bytes + 2 * io::kDirectAlignBytes;
  plan.staging_count = static_cast<std::size_t>(std::min<std::uint64_t>(
      (rest - plan.tile_count * plan.tile_bytes) / plan.staging_bytes, kStagingMost));
  return plan;
}

}  // namespace kilter::flow
