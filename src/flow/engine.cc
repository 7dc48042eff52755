#include "flow/engine.h"

#include <algorithm>
#include <chrono>

#include "base/text.h"
#include "base/thread_pool.h"
#include "base/try.h"
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

Result<flow::MemoryPlan> divide_memory(const Plan& plan, const EngineOptions& options) {
  flow::MemoryNeeds needs;
  needs.budget_bytes = options.max_memory_bytes;
  needs.thread_count = options.thread_count == 0 ? usable_cpu_count() : options.thread_count;
  needs.tile_bytes = options.tile_bytes;
  needs.has_kernels =
      std::any_of(plan.outputs.begin(), plan.outputs.end(),
                  [](const PlanOutput& output) { return output.kernel != nullptr; });
  for (const PlanOutput& output : plan.outputs)
    needs.has_blocks =
        needs.has_blocks || std::any_of(output.inputs.begin(), output.inputs.end(),
                                        [](const PlanInput& i) { return flow::wants_blocks(i); });
  KILTER_ASSIGN(const flow::MemoryPlan memory, flow::plan_memory(needs));
  for (const PlanOutput& output : plan.outputs)
    if (output.kernel && flow::kernel_group_bytes(output) > memory.kernel_bytes)
      return fail(Error(ErrorCode::kInvalidArgument, "the memory budget does not hold the inputs")
                      .at_tensor(output.name)
                      .wanted(format_bytes(flow::kernel_group_bytes(output)) + " a thread",
                              format_bytes(memory.kernel_bytes))
                      .advise("raise --max-memory"));
  return memory;
}

}  // namespace

Result<RunReport> run_plan(const Plan& plan, Sink& sink, io::FileSystem& files,
                           io::Publication& publication, const std::string& target_folder,
                           const EngineOptions& options, const RunContext& context) {
  const auto start = std::chrono::steady_clock::now();
  KILTER_TRY(flow::check_plan(plan));
  KILTER_ASSIGN(const std::vector<FileLayout> layout, sink.layout(plan));
  KILTER_ASSIGN(const std::uint64_t total_bytes, flow::check_layout(plan, layout));
  KILTER_TRY(flow::check_space(files, target_folder, total_bytes));
  KILTER_ASSIGN(const flow::MemoryPlan memory, divide_memory(plan, options));
  KILTER_ASSIGN(auto queue, io::make_io_queue(options.queue, kQueueDepth));

  RunReport report;
  const Phase phase(context.progress, plan.verb, total_bytes);
  {
    flow::EngineRun run(plan, sink, layout, memory, options, context, std::move(queue));
    KILTER_TRY(run.run(publication));
    report.read_bytes = run.read_bytes();
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
