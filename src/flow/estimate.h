// What a plan would cost, from a small part of it.
#pragma once

#include <cstdint>

#include "flow/engine.h"
#include "flow/plan.h"
#include "flow/sink.h"

namespace kilter {

struct PlanEstimate {
  std::uint64_t memory_bytes = 0;  ///< buffers and scratch together, at most
  std::uint64_t written_bytes = 0;
  std::uint64_t sampled_bytes = 0;  ///< of the output: made to measure, and thrown away
  double seconds = 0;               ///< to read and compute; writing to the disk not counted
};

/// Makes some tiles of the output, spread over all of it, for a fraction of a second, with the
/// threads and memory that run_plan() would use. Writes nothing.
/// Errors: as the preflight of run_plan(); what sources and kernels report.
Result<PlanEstimate> estimate_plan(const Plan& plan, Sink& sink, const EngineOptions& options,
                                   const RunContext& context);

}  // namespace kilter
