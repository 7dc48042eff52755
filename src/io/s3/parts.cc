#include "io/s3/parts.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>

#include "base/checked.h"

namespace kilter::io::s3 {
namespace {

// Amazon S3 user guide, "Multipart upload limits".
constexpr std::uint64_t kUploadPartsMax = 10'000;
constexpr std::uint64_t kUploadPartBytesMin = 5ULL << 20U;
constexpr std::uint64_t kUploadPartBytesMax = 5ULL << 30U;
constexpr std::uint64_t kObjectBytesMax = 5ULL << 40U;

/// What the threads of one run share.
struct PartRun {
  std::atomic<std::uint64_t> next{0};
  std::mutex mutex;
  std::condition_variable done;
  unsigned running = 0;
  Status first_error;
};

/// True on the threads of any pool that runs parts: a part that waited for others there, such as
/// one copied from another object, could wait for itself.
thread_local bool on_part_thread = false;

void work_on(PartRun& run, std::uint64_t count, const std::function<Status(std::uint64_t)>& work) {
  for (std::uint64_t part = run.next++; part < count; part = run.next++) {
    Status status = work(part);
    if (status) continue;
    const std::lock_guard lock(run.mutex);
    if (run.first_error) run.first_error = std::move(status);
    run.next = count;
  }
}

}  // namespace

Result<PartPlan> plan_parts(std::uint64_t total_bytes, std::uint64_t wanted_part_bytes,
                            unsigned parallel) {
  if (total_bytes > kObjectBytesMax)
    return fail(ErrorCode::kLimitExceeded, "an object may have at most 5 TiB");
  const std::uint64_t wanted =
      std::clamp(wanted_part_bytes, kUploadPartBytesMin, kUploadPartBytesMax);
  const std::uint64_t needed =
      round_up((total_bytes + kUploadPartsMax - 1) / kUploadPartsMax, 1U << 20U);
  PartPlan plan;
  plan.part_bytes = std::max(wanted, needed);
  plan.part_count = (total_bytes + plan.part_bytes - 1) / plan.part_bytes;
  const std::uint64_t fitting = std::max<unsigned>(parallel, 1) * wanted / plan.part_bytes;
  plan.at_once = static_cast<unsigned>(std::max<std::uint64_t>(fitting, 1));
  return plan;
}

Status run_parts(ThreadPool& pool, std::uint64_t count, unsigned at_once,
                 const std::function<Status(std::uint64_t)>& work) {
  PartRun run;
  if (on_part_thread) {
    work_on(run, count, work);
    return std::move(run.first_error);
  }
  run.running = static_cast<unsigned>(std::min<std::uint64_t>(count, at_once));
  for (unsigned i = run.running; i > 0; --i) {
    pool.submit([&run, &work, count] {
      on_part_thread = true;
      work_on(run, count, work);
      const std::lock_guard lock(run.mutex);
      if (--run.running == 0) run.done.notify_one();  // under the lock: `run` may go after it
    });
  }
  std::unique_lock lock(run.mutex);
  run.done.wait(lock, [&run] { return run.running == 0; });
  return std::move(run.first_error);
}

}  // namespace kilter::io::s3
