#include "store/s3_lease.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "io/memory_object_store.h"

namespace kilter::store {
namespace {

using std::chrono::milliseconds;

class LeaseOnReference : public testing::Test {
 protected:
  LeaseOnReference() : objects_(io::make_memory_object_store()) {
    objects_->set_conditions(io::Conditions::kRefused);
    options_.pause = milliseconds(1);
    options_.wait_max = milliseconds(20'000);
  }
  std::size_t lease_count() { return objects_->list("refs/.lease/")->size(); }

  std::unique_ptr<io::MemoryObjectStore> objects_;
  LeaseOptions options_;
};

TEST_F(LeaseOnReference, LetsOneInAtATime) {
  std::atomic<int> inside{0};
  std::atomic<int> met{0};
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i)
    threads.emplace_back([&] {
      for (int round = 0; round < 5; ++round) {
        const Status status = with_lease(*objects_, "heads/main", options_, [&]() -> Status {
          if (++inside > 1) ++met;
          std::this_thread::sleep_for(milliseconds(1));
          --inside;
          return ok();
        });
        if (status) ++done;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(met, 0);
  EXPECT_EQ(done, 30);
  EXPECT_EQ(lease_count(), 0U);
}

TEST_F(LeaseOnReference, ReplacesOnlyWhatWasSeen) {
  const auto first = replace_under_lease(*objects_, "heads/main", "", as_bytes("one"), options_);
  ASSERT_TRUE(first.has_value()) << first.error().text();
  const auto again = replace_under_lease(*objects_, "heads/main", "", as_bytes("two"), options_);
  EXPECT_EQ(again.error().code, ErrorCode::kAlreadyExists);
  const auto second =
      replace_under_lease(*objects_, "heads/main", first->etag, as_bytes("two"), options_);
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(objects_->read_text("refs/heads/main", 100)->text, "two");
  EXPECT_EQ(lease_count(), 0U);
}

TEST_F(LeaseOnReference, TakesOverWhatACrashLeft) {
  ASSERT_TRUE(objects_->put("refs/.lease/heads/main/0", {}).has_value());
  objects_->set_time(1'700'000'000 + 126);
  EXPECT_TRUE(with_lease(*objects_, "heads/main", options_, [] { return ok(); }).has_value());
  EXPECT_EQ(lease_count(), 0U);
}

TEST_F(LeaseOnReference, WaitsForTheLivingAndGivesUp) {
  ASSERT_TRUE(objects_->put("refs/.lease/heads/main/0", {}).has_value());
  objects_->set_time(1'700'000'000 + 120);
  options_.wait_max = milliseconds(20);
  const Status status = with_lease(*objects_, "heads/main", options_, [] { return ok(); });
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code, ErrorCode::kIo);
  EXPECT_EQ(lease_count(), 1U);
}

TEST_F(LeaseOnReference, KeepsOutOfOtherReferences) {
  ASSERT_TRUE(objects_->put("refs/.lease/heads/main/x/0", {}).has_value());
  ASSERT_TRUE(objects_->put("refs/.lease/heads/mainly/0", {}).has_value());
  EXPECT_TRUE(with_lease(*objects_, "heads/main", options_, [] { return ok(); }).has_value());
  EXPECT_EQ(lease_count(), 2U);
}

TEST_F(LeaseOnReference, FailsHonestlyAtEveryCall) {
  for (const io::ObjectFault fault : {io::ObjectFault::kUnavailable, io::ObjectFault::kLostAnswer})
    for (std::uint64_t call = 0; call < 5; ++call) {
      objects_ = io::make_memory_object_store();
      objects_->fail_at(call, fault);
      const auto written =
          replace_under_lease(*objects_, "heads/main", "", as_bytes("one"), options_);
      const bool there = objects_->head("refs/heads/main").has_value();
      if (written.has_value()) {
        EXPECT_TRUE(there) << call;
      } else {
        EXPECT_EQ(written.error().code, ErrorCode::kIo) << call;
      }
    }
}

TEST_F(LeaseOnReference, StopsWhenCancelled) {
  ASSERT_TRUE(objects_->put("refs/.lease/heads/main/0", {}).has_value());
  CancelToken cancel;
  cancel.cancel();
  options_.cancel = &cancel;
  const Status status = with_lease(*objects_, "heads/main", options_, [] { return ok(); });
  EXPECT_EQ(status.error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace kilter::store
