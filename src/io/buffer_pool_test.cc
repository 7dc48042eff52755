#include "io/buffer_pool.h"

#include <gmock/gmock.h>
#include <sys/resource.h>

#include <atomic>
#include <cstring>
#include <set>
#include <thread>

#include "io/io_test_support.h"

namespace kilter::io {
namespace {

TEST(BufferPool, GivesAlignedBuffersOfWholeBlocks) {
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{4096}, std::size_t{5000},
                                  std::size_t{2} << 20, (std::size_t{4} << 20) + 1}) {
    BufferPool pool(bytes, 2);
    EXPECT_GE(pool.buffer_bytes(), bytes);
    EXPECT_EQ(pool.buffer_bytes() % kDirectAlignBytes, 0U);
    const auto buffer = pool.take();
    ASSERT_OK(buffer);
    EXPECT_EQ(buffer->span().size(), pool.buffer_bytes());
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer->span().data()) % kDirectAlignBytes, 0U);
    std::memset(buffer->span().data(), 1, buffer->span().size());
  }
}

TEST(BufferPool, LendsNoMoreThanItsBudgetAndReusesWhatComesBack) {
  BufferPool pool(4096, 3);
  std::set<std::byte*> seen;
  {
    std::vector<Buffer> held;
    for (int i = 0; i < 3; ++i) {
      auto buffer = pool.try_take();
      ASSERT_OK(buffer);
      ASSERT_TRUE(static_cast<bool>(*buffer));
      seen.insert(buffer->span().data());
      held.push_back(std::move(*buffer));
    }
    EXPECT_EQ(seen.size(), 3U);
    const auto none = pool.try_take();
    ASSERT_OK(none);
    EXPECT_FALSE(static_cast<bool>(*none));
  }
  const auto again = pool.take();
  ASSERT_OK(again);
  EXPECT_TRUE(seen.contains(again->span().data()));
}

TEST(BufferPool, MovesBuffersWithoutReturningThemTwice) {
  BufferPool pool(4096, 1);
  Buffer first = *pool.take();
  Buffer second = std::move(first);
  EXPECT_TRUE(static_cast<bool>(second));
  EXPECT_FALSE(static_cast<bool>(*pool.try_take()));
  second = Buffer();
  EXPECT_TRUE(static_cast<bool>(*pool.try_take()));
}

TEST(BufferPool, WaitsUntilABufferComesBack) {
  BufferPool pool(4096, 2);
  std::atomic<int> held = 0, held_max = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int round = 0; round < 500; ++round) {
        const auto buffer = pool.take();
        ASSERT_OK(buffer);
        const int now = ++held;
        int most = held_max.load();
        while (now > most && !held_max.compare_exchange_weak(most, now)) continue;
        buffer->span()[0] = std::byte{1};
        --held;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(held_max.load(), 2);
}

TEST(BufferPool, ReportsRefusedMemory) {
  BufferPool pool(std::size_t{1} << 60, 1);
  const auto buffer = pool.take();
  EXPECT_EQ(code_of(buffer), ErrorCode::kLimitExceeded);
}

}  // namespace
}  // namespace kilter::io
