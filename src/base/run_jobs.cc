#include "base/run_jobs.h"

#include <algorithm>
#include <mutex>

#include "base/thread_pool.h"

namespace kilter {
namespace {

class JobRun {
 public:
  JobRun(const Jobs& jobs, const RunContext& context)
      : jobs_(jobs), context_(context), failed_at_(jobs.count) {}

  void begin() {
    if (context_.progress == nullptr) return;
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < jobs_.count; ++i) total += jobs_.bytes(i);
    context_.progress->begin(jobs_.verb, total);
  }

  /// Takes one job after the other until there are none.
  void work() {
    for (std::size_t i = take(); i < jobs_.count; i = take()) {
      Status done = context_.check();
      if (done) done = jobs_.run(i);
      settle(i, std::move(done));
    }
  }

  Status end() {
    if (context_.progress != nullptr) context_.progress->end();
    return std::move(status_);
  }

 private:
  std::size_t take() {
    const std::lock_guard guard(mutex_);
    return failed_at_ < jobs_.count ? jobs_.count : next_++;
  }

  void settle(std::size_t job, Status done) {
    const std::lock_guard guard(mutex_);
    if (!done) {
      if (job < failed_at_) status_ = std::move(done);
      failed_at_ = std::min(failed_at_, job);
      return;
    }
    done_bytes_ += jobs_.bytes(job);
    if (context_.progress != nullptr) context_.progress->update(done_bytes_);
  }

  const Jobs& jobs_;
  const RunContext& context_;
  std::mutex mutex_;
  std::size_t next_ = 0, failed_at_;
  std::uint64_t done_bytes_ = 0;
  Status status_;
};

}  // namespace

Status run_jobs(const Jobs& jobs, unsigned thread_count, const RunContext& context) {
  JobRun run(jobs, context);
  run.begin();
  if (jobs.count > 1) {
    ThreadPool pool(thread_count);
    for (unsigned i = 0; i < pool.thread_count(); ++i) pool.submit([&run] { run.work(); });
    pool.wait_idle();
  } else {
    run.work();
  }
  return run.end();
}

}  // namespace kilter
