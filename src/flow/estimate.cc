#include "flow/estimate.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <vector>

#include "base/raw_bytes.h"
#include "base/thread_pool.h"
#include "base/try.h"
#include "flow/divide_memory.h"
#include "flow/preflight.h"
#include "flow/tile_fill.h"
#include "flow/tile_map.h"

namespace kilter {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kSampleTileBytes = 1U << 20;
constexpr std::uint64_t kSampleTilesMax = 64;
constexpr auto kSampleTime = std::chrono::milliseconds(400);

struct SampleTile {
  const flow::FileMap* map = nullptr;
  std::uint64_t offset_bytes = 0, bytes = 0;
};

/// All of a small output; of a large one some, spread evenly, in an order that covers it roughly
/// evenly if cut short.
std::vector<SampleTile> choose_tiles(const std::vector<flow::FileMap>& maps) {
  std::vector<SampleTile> all;
  for (const flow::FileMap& map : maps)
    for (std::uint64_t at = 0; at < map.bytes(); at += kSampleTileBytes)
      all.push_back({&map, at, std::min(kSampleTileBytes, map.bytes() - at)});
  if (all.size() <= kSampleTilesMax) return all;
  std::vector<SampleTile> out;
  for (std::uint64_t i = 0; i < kSampleTilesMax; ++i) {
    // 37 has no factor with any power of two: every place comes once.
    const std::uint64_t place = i * 37 % kSampleTilesMax;
    out.push_back(all[all.size() * place / kSampleTilesMax]);
  }
  return out;
}

/// Fills tiles until the time is over; every thread at least one.
class Sampler {
 public:
  Sampler(flow::TileFiller& filler, std::vector<SampleTile> tiles, const RunContext& context)
      : filler_(filler), tiles_(std::move(tiles)), context_(context) {}

  Result<PlanEstimate> run(unsigned threads) {
    const auto start = Clock::now();
    {
      ThreadPool pool(threads);
      for (unsigned i = 0; i < threads; ++i) pool.submit([this, start] { work(start); });
      pool.wait_idle();
    }
    KILTER_TRY(std::move(status_));
    PlanEstimate out;
    out.sampled_bytes = bytes_;
    out.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    return out;
  }

 private:
  void work(Clock::time_point start) {
    RawBytes buffer;
    do {
      const std::size_t i = next_++;
      if (i >= tiles_.size()) return;
      const SampleTile& tile = tiles_[i];
      buffer.resize(static_cast<std::size_t>(tile.bytes));
      Status status = context_.check();
      if (status) status = filler_.fill(*tile.map, tile.offset_bytes, buffer, {}).status;
      bytes_ += tile.bytes;
      if (status) continue;
      const std::lock_guard guard(mutex_);
      status_ = std::move(status);
      return;
    } while (Clock::now() - start < kSampleTime);
  }

  flow::TileFiller& filler_;
  std::vector<SampleTile> tiles_;
  const RunContext& context_;
  std::atomic<std::size_t> next_{0};
  std::atomic<std::uint64_t> bytes_{0};
  std::mutex mutex_;
  Status status_;
};

}  // namespace

Result<PlanEstimate> estimate_plan(const Plan& plan, Sink& sink, const EngineOptions& options,
                                   const RunContext& context) {
  KILTER_TRY(flow::check_plan(plan));
  KILTER_ASSIGN(const std::vector<FileLayout> layout, sink.layout(plan));
  KILTER_ASSIGN(const std::uint64_t total_bytes, flow::check_layout(plan, layout));
  KILTER_ASSIGN(const flow::MemoryPlan memory, flow::divide_memory(plan, options));
  std::vector<flow::FileMap> maps;
  for (const FileLayout& file : layout) maps.emplace_back(file);
  flow::TileFiller filler(plan, memory, false);
  Sampler sampler(filler, choose_tiles(maps), context);
  KILTER_ASSIGN(PlanEstimate out, sampler.run(memory.thread_count));
  out.written_bytes = total_bytes;
  out.memory_bytes = flow::planned_bytes(memory);
  if (out.sampled_bytes > 0)
    out.seconds *= static_cast<double>(total_bytes) / static_cast<double>(out.sampled_bytes);
  return out;
}

}  // namespace kilter
