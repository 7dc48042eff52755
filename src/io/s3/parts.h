// A large object in parts, several at once.
#pragma once

#include <cstdint>
#include <functional>

#include "kilter/error.h"

#include "base/thread_pool.h"

namespace kilter::io::s3 {

struct PartPlan {
  std::uint64_t part_bytes = 0;
  std::uint64_t part_count = 0;
  unsigned at_once = 1;  ///< so many that `parallel` parts of the wanted size fit into memory
};

/// At most 10,000 parts of at most 5 GiB. Errors: kLimitExceeded above 5 TiB.
Result<PartPlan> plan_parts(std::uint64_t total_bytes, std::uint64_t wanted_part_bytes,
                            unsigned parallel);

/// Calls work(0) … work(count - 1) on the pool, `at_once` at a time, and waits. After an error no
/// further ones begin; returns the first. Called from within such work it runs one after the other.
Status run_parts(ThreadPool& pool, std::uint64_t count, unsigned at_once,
                 const std::function<Status(std::uint64_t)>& work);

}  // namespace kilter::io::s3
