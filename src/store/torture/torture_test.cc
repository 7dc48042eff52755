#include <gtest/gtest.h>

#include "io/io_test_support.h"
#include "store/torture/kill.h"
#include "store/torture/power_loss.h"
#include "store/torture/rounds.h"

namespace kilter::store {
namespace {

TEST(Torture, FindsTheOldOrTheNewCommitAfterEveryLossOfPower) {
  PowerLossRequest request;
  request.mixtures = 4;
  const auto outcome = try_power_losses(request);
  ASSERT_TRUE(outcome.has_value()) << outcome.error().text();
  EXPECT_EQ(outcome->fault, "");
  EXPECT_GT(outcome->state_count, 500U);
  EXPECT_GT(outcome->old_count, 0U);
  EXPECT_GT(outcome->new_count, 0U);
  EXPECT_GT(outcome->continued_count, 50U);
}

TEST(Torture, FindsWholeStoresAfterKilledWriters) {
  const io::TempFolder temp;
  KillRequest request;
  request.folder = temp.path();
  request.rounds = 8;
  request.tensor_bytes = 64 << 10;
  const auto outcome = kill_writers(request);
  ASSERT_TRUE(outcome.has_value()) << outcome.error().text();
  EXPECT_EQ(outcome->fault, "");
  EXPECT_EQ(outcome->savers_killed, 8U);
  EXPECT_EQ(outcome->old_count + outcome->new_count, 8U);
  EXPECT_TRUE(io::names_in(io::real_file_system(), temp.path()).empty());
}

TEST(Torture, NoticesOtherBytes) {
  const auto memory = io::make_memory_file_system();
  const auto store = Store::create(make_folder_place(*memory, "store"));
  ASSERT_TRUE(store.has_value());
  ASSERT_TRUE(save_round(**store, 3, 4096).has_value());
  EXPECT_EQ(check_rounds(**store), std::uint64_t{1});
  memory->put("other/config.json", "{}");
  memory->put("other/weights/model.safetensors", round_files(4, 4096).rbegin()->second);
  SaveRequest request;
  request.source = {memory.get(), "other", {}};
  request.message = "round 4 of 4096 bytes";
  ASSERT_TRUE(save_tree(**store, request).has_value());
  const auto checked = check_rounds(**store);
  ASSERT_FALSE(checked.has_value());
  EXPECT_EQ(checked.error().code, ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace kilter::store
