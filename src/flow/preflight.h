// Everything that can be known to be wrong before the first byte is written.
#pragma once

#include <string>
#include <vector>

#include "flow/engine.h"
#include "flow/sink.h"
#include "io/file_system.h"

namespace kilter::flow {

/// Every input exists and gives as many bytes (or, with a kernel, elements) as its output takes.
/// Errors: kInvalidArgument with the output as tensor.
Status check_plan(const Plan& plan);

/// Names are safe and differ, each output lies in exactly one segment of its size, sizes add up.
/// Returns the bytes of all files. Errors: kInternal (a fault of the sink), kUnsafe (a name).
Result<std::uint64_t> check_layout(const Plan& plan, const std::vector<FileLayout>& layout);

/// Bytes that are there already; 0 without `resume`. Errors: kInvalidArgument for a sink that needs
/// checksums of everything, and for a place that is not in the layout.
Result<std::uint64_t> check_resume(const std::vector<FileLayout>& layout, const Sink& sink,
                                   const EngineResume* resume);

/// Errors: kNoSpace with what is needed and what is free.
Status check_space(io::FileSystem& files, const std::string& folder, std::uint64_t total_bytes);

/// Elements of an output's shape; 1 for a scalar. nullopt where it overflows.
std::optional<std::uint64_t> output_elements(const PlanOutput& output);

/// The dtype an input's bytes have: a tensor's own, else the output's.
DType input_dtype(const PlanOutput& output, const PlanInput& input);

}  // namespace kilter::flow
