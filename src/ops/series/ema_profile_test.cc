#include <gtest/gtest.h>

#include <cmath>

#include "kilter/federated.h"
#include "kilter/series.h"

namespace kilter {
namespace {

TEST(EmaProfile, CoefficientsAreTheRecursionUnrolled) {
  EmaProfile profile;
  profile.decay = 0.75;
  const auto plain = ema_coefficients(3, profile);
  ASSERT_TRUE(plain);
  EXPECT_EQ(*plain, (std::vector<double>{0.5625, 0.1875, 0.25}));
  profile.correct_bias = true;
  const auto unbiased = ema_coefficients(2, profile);
  ASSERT_TRUE(unbiased);
  EXPECT_DOUBLE_EQ((*unbiased)[0], 0.1875 / 0.4375);
  EXPECT_DOUBLE_EQ((*unbiased)[1], 0.25 / 0.4375);
}

TEST(EmaProfile, OneCheckpointIsItself) {
  for (const bool correct : {false, true}) {
    EmaProfile profile;
    profile.correct_bias = correct;
    const auto one = ema_coefficients(1, profile);
    ASSERT_TRUE(one);
    EXPECT_DOUBLE_EQ((*one)[0], 1);
  }
  EXPECT_FALSE(ema_coefficients(0, {}));
}

TEST(EmaProfile, GammaZeroIsThePlainMean) {
  EmaProfile profile;
  profile.kind = EmaProfile::Kind::kPower;
  const auto mean = ema_coefficients(7, profile);
  ASSERT_TRUE(mean);
  for (const double one : *mean) EXPECT_NEAR(one, 1.0 / 7, 1e-15);
}

// The paper: sigma_rel 0.05 and 0.10 are gamma 16.97 and 6.94.
TEST(EmaProfile, WidthsAreThePapers) {
  EXPECT_NEAR(power_ema_gamma(0.05).value(), 16.97, 0.005);
  EXPECT_NEAR(power_ema_gamma(0.10).value(), 6.94, 0.005);
  EXPECT_NEAR(power_ema_gamma(0.288675).value(), 0, 1e-4);
  EXPECT_FALSE(power_ema_gamma(0.29));
  EXPECT_FALSE(power_ema_gamma(0));
  EXPECT_FALSE(power_ema_gamma(std::nan("")));
}

TEST(EmaProfile, FitsRefuseTwoOfOneProfile) {
  EXPECT_FALSE(fit_power_ema({{0.1, 5}, {0.1, 5}}, {0.05, 5}));
  EXPECT_FALSE(fit_power_ema({{0.1, 0}}, {0.05, 5}));
  EXPECT_FALSE(fit_power_ema({}, {0.05, 5}));
}

// 4.37718: bisected in Python with math.erfc.
TEST(GaussianEpsilon, IsTheAnalyticBound) {
  EXPECT_NEAR(gaussian_epsilon(1, 1e-5).value(), 4.3772, 1e-3);
  EXPECT_EQ(gaussian_epsilon(1000, 0.01).value(), 0);
  const double large = gaussian_epsilon(0.01, 1e-12).value();  // far outside what exp() can hold
  EXPECT_GT(large, 5000);
  EXPECT_LT(large, 6000);
  EXPECT_FALSE(gaussian_epsilon(0, 1e-5));
  EXPECT_FALSE(gaussian_epsilon(1, 0));
}

}  // namespace
}  // namespace kilter
