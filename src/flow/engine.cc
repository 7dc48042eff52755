#include "flow/engine.h"

#include <algorithm>
#include <chrono>

#include "base/try.h"
#include "flow/divide_memory.h"
#include "flow/engine_run.h"
#include "flow/memory_plan.h"
#include "flow/preflight.h"

namespace kilter {
namespace {

constexpr unsigned kQueueDepth = 32;

/// Tells the receiver that the phase is over, however it ends.
class Phase {
 public:
  Phase(Progress* progress, std::string_view verb, std::uint64_t total_bytes)
      : progress_(progress) {
    if (progress_ != nullptr) progress_->begin(verb, total_bytes);
  }
  ~Phase() {
    if (progress_ != nullptr) progress_->end();
  }
  Phase(const Phase&) = delete;
  Phase& operator=(const Phase&) = delete;

 private:
  Progress* progress_;
};

}  // namespace

Result<RunReport> run_plan(const Plan& plan, Sink& sink, io::FileSystem& files,
                           io::Publication& publication, const std::string& target_folder,
                           const EngineOptions& options, const RunContext& context) {
  const auto start = std::chrono::steady_clock::now();
  KILTER_TRY(flow::check_plan(plan));
  KILTER_ASSIGN(const std::vector<FileLayout> layout, sink.layout(plan));
  KILTER_ASSIGN(const std::uint64_t total_bytes, flow::check_layout(plan, layout));
  KILTER_ASSIGN(const std::uint64_t present_bytes,
                flow::check_resume(layout, sink, options.resume));
  // What was begun has its room already.
  if (present_bytes == 0) KILTER_TRY(flow::check_space(files, target_folder, total_bytes));
  KILTER_ASSIGN(const flow::MemoryPlan memory, flow::divide_memory(plan, options));
  KILTER_ASSIGN(auto queue, io::make_io_queue(options.queue, kQueueDepth));

  RunReport report;
  const Phase phase(context.progress, plan.verb, total_bytes);
  {
    flow::EngineRun run(plan, sink, layout, memory, options, context, std::move(queue));
    KILTER_TRY(run.run(publication));
    report.read_bytes = run.read_bytes();
    report.resumed_bytes = present_bytes;
  }
  KILTER_TRY(context.check());
  KILTER_TRY(publication.commit());
  report.written_bytes = total_bytes;
  for (const FileLayout& file : layout)
    report.files.push_back({file.name, flow::FileMap(file).bytes()});
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace kilter
