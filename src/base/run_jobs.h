// Independent pieces of one work on several threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

#include "kilter/progress.h"

namespace kilter {

struct Jobs {
  std::string_view verb;  ///< for progress: "compare"
  std::size_t count = 0;
  /// Of one job, for progress.
  std::function<std::uint64_t(std::size_t)> bytes;
  /// Runs on any thread.
  std::function<Status(std::size_t)> run;
};

/// Starts jobs in order, `thread_count` (0 = usable_cpu_count()) at a time, none after the first
/// error. Of several errors the one of the first job. Errors: kCancelled, or a job's.
Status run_jobs(const Jobs& jobs, unsigned thread_count, const RunContext& context);

}  // namespace kilter
