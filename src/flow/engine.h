// The one engine that runs every plan: read ahead, compute on a pool, write in order, commit.
#pragma once

#include <cstdint>
#include <string>

#include "kilter/progress.h"

#include "flow/plan.h"
#include "flow/sink.h"
#include "io/io_queue.h"
#include "io/publish.h"

namespace kilter {

struct EngineOptions {
  std::uint64_t max_memory_bytes = 512ULL << 20;  ///< buffers and scratch together
  unsigned thread_count = 0;                      ///< 0 = usable_cpu_count()
  std::uint64_t tile_bytes = 0;                   ///< 0 = chosen from the budget
  bool direct_io = true;                          ///< where the file system can
  io::IoQueueKind queue = io::IoQueueKind::kAuto;
};

struct RunReport {
  std::uint64_t read_bytes = 0;
  std::uint64_t written_bytes = 0;
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
/// Errors: kNoSpace, kIo, kCancelled, or what source, kernel or sink reported.
Result<RunReport> run_plan(const Plan& plan, Sink& sink, io::FileSystem& files,
                           io::Publication& publication, const std::string& target_folder,
                           const EngineOptions& options, const RunContext& context);

}  // namespace kilter
