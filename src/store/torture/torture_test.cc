#include <gtest/gtest.h>

#include "store/torture/power_loss.h"
#include "store/torture/recording_file_system.h"
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

}  // namespace
}  // namespace kilter::store
