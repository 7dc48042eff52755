// The memory that a plan takes under an engine's options.
#pragma once

#include "flow/engine.h"
#include "flow/memory_plan.h"
#include "flow/plan.h"

namespace kilter::flow {

/// Errors: as plan_memory(); kInvalidArgument for a budget that does not hold an output's inputs.
Result<MemoryPlan> divide_memory(const Plan& plan, const EngineOptions& options);

/// All buffers of a memory plan together, but for cached blocks, which have what is left.
std::uint64_t planned_bytes(const MemoryPlan& memory);

}  // namespace kilter::flow
