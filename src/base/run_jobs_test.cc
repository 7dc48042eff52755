#include "base/run_jobs.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

namespace kilter {
namespace {

class Recorder : public Progress {
 public:
  void begin(std::string_view verb, std::uint64_t total_bytes) override {
    verb_ = verb;
    total_ = total_bytes;
  }
  void update(std::uint64_t done_bytes) override {
    EXPECT_GE(done_bytes, done_);
    done_ = done_bytes;
  }
  void end() override { ++ends_; }
  std::string verb_;
  std::uint64_t total_ = 0, done_ = 0;
  int ends_ = 0;
};

Jobs jobs_of(std::size_t count, std::function<Status(std::size_t)> run) {
  return {"count", count, [](std::size_t i) { return std::uint64_t{i}; }, std::move(run)};
}

TEST(RunJobs, RunsEachOnceAndTellsHowFarItIs) {
  for (const unsigned threads : {0U, 1U, 5U}) {
    for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{100}}) {
      std::vector<std::atomic<int>> runs(count);
      Recorder progress;
      RunContext context;
      context.progress = &progress;
      const Jobs jobs = jobs_of(count, [&](std::size_t i) -> Status {
        ++runs[i];
        return {};
      });
      EXPECT_TRUE(run_jobs(jobs, threads, context));
      for (const auto& one : runs) EXPECT_EQ(one, 1);
      EXPECT_EQ(progress.verb_, "count");
      EXPECT_EQ(progress.total_, count < 2 ? 0 : count * (count - 1) / 2);
      EXPECT_EQ(progress.done_, progress.total_);
      EXPECT_EQ(progress.ends_, 1);
    }
  }
}

TEST(RunJobs, StopsAtAnErrorAndReturnsTheFirstJobs) {
  for (const unsigned threads : {1U, 4U}) {
    std::atomic<std::size_t> started{0};
    const Jobs jobs = jobs_of(100000, [&](std::size_t i) -> Status {
      ++started;
      if (i < 20) return {};
      return fail(ErrorCode::kIo, std::to_string(i));
    });
    const Status status = run_jobs(jobs, threads, {});
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().message, "20");
    EXPECT_LE(started, 20 + threads);
  }
}

TEST(RunJobs, AreCancelled) {
  CancelToken cancel;
  RunContext context;
  context.cancel = &cancel;
  const Jobs jobs = jobs_of(100, [&](std::size_t i) -> Status {
    if (i == 3) cancel.cancel();
    return {};
  });
  const Status status = run_jobs(jobs, 1, context);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace kilter
