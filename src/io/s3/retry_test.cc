#include "io/s3/retry.h"

#include <gtest/gtest.h>

#include <atomic>

#include "io/io_test_support.h"
#include "io/s3/parts.h"

namespace kilter::io::s3 {
namespace {

TEST(Retry, PausesDoubleUpToABound) {
  using std::chrono::milliseconds;
  EXPECT_EQ(retry_pause(0, 0, {}), milliseconds(0));
  EXPECT_EQ(retry_pause(3, 0.5, {}), milliseconds(400));
  EXPECT_EQ(retry_pause(60, 0.5, {}), milliseconds(10'000));
  EXPECT_EQ(parse_retry_after("nonsense", 0).count(), 0);
  EXPECT_EQ(parse_retry_after("", 0).count(), 0);
}

TEST(Retry, JudgesAnswers) {
  for (const int status : {429, 500, 502, 503, 504})
    EXPECT_EQ(judge_answer(status, ""), Verdict::kTransient) << status;
  for (const int status : {301, 400, 403, 404, 409, 412, 501})
    EXPECT_EQ(judge_answer(status, ""), Verdict::kFinal) << status;
  EXPECT_EQ(judge_answer(400, "RequestTimeout"), Verdict::kTransient);
  EXPECT_EQ(judge_answer(409, "ConditionalRequestConflict"), Verdict::kTransient);
  EXPECT_EQ(judge_answer(409, "ExistingObjectIsDirectory"), Verdict::kTransient);
  EXPECT_EQ(judge_answer(403, "RequestTimeTooSkewed"), Verdict::kSkewed);
}

TEST(Parts, StayWithinTheLimitsOfS3) {
  constexpr std::uint64_t kMiB = 1U << 20U;
  const auto small = plan_parts(20 * kMiB, 8 * kMiB, 8);
  EXPECT_EQ(small->part_count, 3U);
  EXPECT_EQ(small->at_once, 8U);
  EXPECT_EQ(plan_parts(0, 8 * kMiB, 8)->part_count, 0U);
  const auto huge = plan_parts(5ULL << 40U, 8 * kMiB, 8);
  EXPECT_LE(huge->part_count, 10'000U);
  EXPECT_EQ(huge->at_once, 1U);
  EXPECT_FALSE(plan_parts((5ULL << 40U) + 1, 8 * kMiB, 8).has_value());
}

TEST(Parts, StopAtTheFirstError) {
  ThreadPool pool(2);
  std::atomic<int> begun{0};
  const auto fail_at_3 = [&](std::uint64_t part) -> Status {
    ++begun;
    return part == 3 ? fail(ErrorCode::kIo, "third") : ok();
  };
  EXPECT_EQ(code_of(run_parts(pool, 1000, 1, fail_at_3)), ErrorCode::kIo);
  EXPECT_EQ(begun, 4);  // one lane: the parts before it, and none after
  // Two lanes: how many more begin before the error is seen is the scheduler's choice.
  EXPECT_EQ(code_of(run_parts(pool, 1000, 2, fail_at_3)), ErrorCode::kIo);
  EXPECT_OK(run_parts(pool, 0, 2, [](std::uint64_t) { return ok(); }));
}

TEST(Parts, RunWithinParts) {
  ThreadPool pool(1);
  std::atomic<int> done{0};
  EXPECT_OK(run_parts(pool, 3, 1, [&](std::uint64_t) {
    return run_parts(pool, 2, 1, [&](std::uint64_t) {
      ++done;
      return ok();
    });
  }));
  EXPECT_EQ(done, 6);
}

}  // namespace
}  // namespace kilter::io::s3
