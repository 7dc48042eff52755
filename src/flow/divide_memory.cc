#include "flow/divide_memory.h"

#include <algorithm>

#include "base/text.h"
#include "base/thread_pool.h"
#include "base/try.h"
#include "flow/tile_fill.h"

namespace kilter::flow {

Result<MemoryPlan> divide_memory(const Plan& plan, const EngineOptions& options) {
  MemoryNeeds needs;
  needs.budget_bytes = options.max_memory_bytes;
  needs.thread_count = options.thread_count == 0 ? usable_cpu_count() : options.thread_count;
  needs.tile_bytes = options.tile_bytes;
  needs.has_kernels =
      std::any_of(plan.outputs.begin(), plan.outputs.end(),
                  [](const PlanOutput& output) { return output.kernel != nullptr; });
  for (const PlanOutput& output : plan.outputs)
    needs.has_blocks =
        needs.has_blocks || std::any_of(output.inputs.begin(), output.inputs.end(),
                                        [](const PlanInput& i) { return wants_blocks(i); });
  KILTER_ASSIGN(const MemoryPlan memory, plan_memory(needs));
  for (const PlanOutput& output : plan.outputs)
    if (output.kernel && kernel_group_bytes(output) > memory.kernel_bytes)
      return fail(Error(ErrorCode::kInvalidArgument, "the memory budget does not hold the inputs")
                      .at_tensor(output.name)
                      .wanted(format_bytes(kernel_group_bytes(output)) + " a thread",
                              format_bytes(memory.kernel_bytes))
                      .advise("raise --max-memory"));
  return memory;
}

std::uint64_t planned_bytes(const MemoryPlan& memory) {
  return memory.tile_bytes * memory.tile_count + memory.staging_bytes * memory.staging_count +
         memory.thread_count * (memory.scratch_bytes + memory.kernel_bytes);
}

}  // namespace kilter::flow
