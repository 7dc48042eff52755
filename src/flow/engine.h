// The one engine that runs every plan: read ahead, compute on a pool, write in order, commit.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kilter/progress.h"

#include "flow/plan.h"
#include "flow/sink.h"
#include "io/io_queue.h"
#include "io/publish.h"

namespace kilter {

/// How source bytes that are copied as they are come in.
enum class ReadAhead : std::uint8_t {
  kAuto,    ///< direct, many at once, from files that the page cache does not hold; else plain
  kNever,   ///< plain reads, by the pool's threads
  kAlways,  ///< through the queue, whatever the page cache holds
};

/// The smallest `max_memory_bytes`.
inline constexpr std::uint64_t kEngineMemoryBytesMin = 16ULL << 20;

/// How a run goes on where another one was cut off.
struct EngineResume {
  std::size_t file = 0;            ///< of the layout: this one and those before it are there
  std::uint64_t offset_bytes = 0;  ///< in it: everything before is there; n * 4096 or its size
  std::uint64_t step_bytes = 1ULL << 30;  ///< how often it is told how far the run has come
  /// Everything before (file, offset_bytes) is durable. Called by the thread that runs the plan.
  std::function<Status(std::size_t file, std::uint64_t offset_bytes)> reached;
};

struct EngineOptions {
  std::uint64_t max_memory_bytes = 512ULL << 20;  ///< buffers and scratch together
  unsigned thread_count = 0;     ///< 0 = usable_cpu_count(); fewer in small budgets
  std::uint64_t tile_bytes = 0;  ///< 0 = chosen from the budget; else n * 4096
  bool direct_io = true;         ///< where the file system can
  io::IoQueueKind queue = io::IoQueueKind::kAuto;
  ReadAhead read_ahead = ReadAhead::kAuto;
  const EngineResume* resume = nullptr;  ///< for sinks without checksums
};

struct RunReport {
  std::uint64_t read_bytes = 0;
  std::uint64_t written_bytes = 0;
  std::uint64_t resumed_bytes = 0;  ///< of those: were there already
  double seconds = 0;
  struct File {
    std::string name;
    std::uint64_t bytes = 0;
  };
  std::vector<File> files;
};

/// Preflight (layout sound, every output once, room on the disk), then runs the plan into
/// `publication` and commits it. The bytes written depend on plan and sink alone: not on threads,
/// tiles or budget. On error or cancellation nothing of the output stays.
///
/// Of several errors the first in file order is returned. `target_folder` is where the publication
/// writes ("" = current folder); it, or a folder above it, exists.
/// Errors: kInvalidArgument for a plan whose inputs do not fit its outputs, or a budget below
/// kEngineMemoryBytesMin; kNoSpace, kIo, kCancelled, or what source, kernel or sink reported.
Result<RunReport> run_plan(const Plan& plan, Sink& sink, io::FileSystem& files,
                           io::Publication& publication, const std::string& target_folder,
                           const EngineOptions& options, const RunContext& context);

}  // namespace kilter
