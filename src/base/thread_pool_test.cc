#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <vector>

namespace kilter {
namespace {

TEST(ThreadPool, RunsEachTaskOnce) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> runs(1000);
  for (auto& run : runs) pool.submit([&run] { run.fetch_add(1); });
  pool.wait_idle();
  for (const auto& run : runs) EXPECT_EQ(run.load(), 1);
}

TEST(ThreadPool, RunsTasksOfOneThreadInTheOrderTheyCame) {
  ThreadPool pool(1);
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) pool.submit([&order, i] { order.push_back(i); });
  pool.wait_idle();
  ASSERT_EQ(order.size(), 100U);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST(ThreadPool, WaitsForWhatTasksSubmitInTheirTurn) {
  ThreadPool pool(2);
  std::atomic<int> done{0};
  for (int i = 0; i < 10; ++i) {
    pool.submit([&pool, &done] { pool.submit([&done] { done.fetch_add(1); }); });
  }
  pool.wait_idle();
  EXPECT_EQ(done.load(), 10);
}

TEST(ThreadPool, FinishesWhatIsQueuedWhenItEnds) {
  std::atomic<int> done{0};
  {
    ThreadPool pool(2);
    for (int i = 0; i < 200; ++i) pool.submit([&done] { done.fetch_add(1); });
  }
  EXPECT_EQ(done.load(), 200);
}

TEST(ThreadPool, FreesWhatATaskHoldsBeforeItIsIdle) {
  ThreadPool pool(3);
  const auto held = std::make_shared<int>(7);
  for (int i = 0; i < 50; ++i) {
    pool.submit([held] { EXPECT_EQ(*held, 7); });
  }
  pool.wait_idle();
  EXPECT_EQ(held.use_count(), 1);
}

TEST(ThreadPool, CanBeUsedFromSeveralThreads) {
  ThreadPool pool(2);
  std::atomic<int> done{0};
  std::vector<std::thread> users;
  for (int u = 0; u < 4; ++u) {
    users.emplace_back([&pool, &done] {
      for (int i = 0; i < 100; ++i) pool.submit([&done] { done.fetch_add(1); });
      pool.wait_idle();
    });
  }
  for (auto& user : users) user.join();
  pool.wait_idle();
  EXPECT_EQ(done.load(), 400);
}

TEST(ThreadPool, TakesAsManyThreadsAsTheProcessMayUse) {
  EXPECT_GE(usable_cpu_count(), 1U);
  EXPECT_EQ(ThreadPool().thread_count(), usable_cpu_count());
}

}  // namespace
}  // namespace kilter
