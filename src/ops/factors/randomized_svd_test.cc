#include "ops/factors/randomized_svd.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <thread>

namespace kilter::ops {
namespace {

std::vector<float> normal_floats(std::size_t count, unsigned seed, float deviation = 1) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> out(count);
  for (float& value : out) value = normal(generator);
  return out;
}

/// Singular values value(i), random directions.
std::vector<float> with_spectrum(std::size_t rows, std::size_t columns, std::size_t count,
                                 double (*value)(std::size_t)) {
  Matrix left(rows, panel_width(count)), right(columns, panel_width(count));
  const auto a = normal_floats(left.values.size(), 1), b = normal_floats(right.values.size(), 2);
  std::copy(a.begin(), a.end(), left.values.begin());
  std::copy(b.begin(), b.end(), right.values.begin());
  const Panel q = orthonormal_basis(left).panel, p = orthonormal_basis(right).panel;
  std::vector<float> out(rows * columns);
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < columns; ++j) {
      double sum = 0;
      for (std::size_t k = 0; k < count; ++k)
        sum += value(k) * static_cast<double>(q.values[i * q.width + k]) *
               static_cast<double>(p.values[j * p.width + k]);
      out[i * columns + j] = static_cast<float>(sum);
    }
  return out;
}

Result<LowRank> svd(std::size_t rows, std::size_t columns, std::vector<float> values,
                    const SvdOptions& options, std::uint64_t keep_bytes_max = 1U << 30) {
  const auto matrix = memory_rows(rows, columns, std::move(values), "layer.weight");
  RowBlocks blocks(*matrix, keep_bytes_max);
  return randomized_svd(blocks, options, {});
}

double squares_of(const std::vector<float>& values) {
  double sum = 0;
  for (const float v : values) sum += static_cast<double>(v) * static_cast<double>(v);
  return sum;
}

/// |values - left diag right' | of the first `rank` directions, by the plainest of loops.
double error_of(const LowRank& low, const std::vector<float>& values, std::size_t rank) {
  double sum = 0;
  for (std::size_t i = 0; i < low.rows; ++i)
    for (std::size_t j = 0; j < low.columns; ++j) {
      double product = 0;
      for (std::size_t k = 0; k < rank; ++k)
        product += low.left.at(i, k) * low.values[k] * low.right.at(j, k);
      const double error = static_cast<double>(values[i * low.columns + j]) - product;
      sum += error * error;
    }
  return std::sqrt(sum);
}

double off_orthonormal(const Matrix& matrix, std::size_t count) {
  double worst = 0;
  for (std::size_t a = 0; a < count; ++a)
    for (std::size_t b = 0; b <= a; ++b) {
      double dot = 0;
      for (std::size_t i = 0; i < matrix.rows; ++i) dot += matrix.at(i, a) * matrix.at(i, b);
      worst = std::max(worst, std::fabs(dot - (a == b ? 1 : 0)));
    }
  return worst;
}

double slow_decay(std::size_t i) { return 1.0 / (1.0 + static_cast<double>(i)); }

TEST(RandomizedSvd, ComesWithinOnePerCentOfTheBest) {
  constexpr std::size_t kRows = 120, kColumns = 90, kRank = 16;
  const auto values = with_spectrum(kRows, kColumns, kColumns, slow_decay);
  double best = 0;
  for (std::size_t i = kRank; i < kColumns; ++i) best += slow_decay(i) * slow_decay(i);
  const auto low = svd(kRows, kColumns, values, {.rank = kRank, .seed = 5});
  ASSERT_TRUE(low.has_value());
  EXPECT_EQ(low->rank, kRank);
  const double error = error_of(*low, values, kRank);
  EXPECT_GE(error, std::sqrt(best) * (1 - 1e-5));
  EXPECT_LE(error, std::sqrt(best) * 1.01);
  EXPECT_LT(off_orthonormal(low->left, kRank), 1e-6);
  EXPECT_LT(off_orthonormal(low->right, kRank), 1e-6);
  for (std::size_t i = 0; i < kRank; ++i)  // from below, and near
    EXPECT_NEAR(low->values[i], slow_decay(i), 1e-3) << i;
}

TEST(RandomizedSvd, BoundsWhatItLeavesOut) {
  constexpr std::size_t kRows = 80, kColumns = 100;
  const auto values = normal_floats(kRows * kColumns, 3);
  const auto low = svd(kRows, kColumns, values, {.rank = 8, .oversampling = 8});
  ASSERT_TRUE(low.has_value());
  EXPECT_NEAR(low->squares, squares_of(values), 1e-6 * squares_of(values));
  const double outside = error_of(*low, values, low->values.size());
  EXPECT_LE(outside, low->residual_max);
  EXPECT_NEAR(outside, low->residual_max, 1e-3 * outside);
}

TEST(RandomizedSvd, FindsAnExactRankByItsEnergy) {
  constexpr std::size_t kRows = 200, kColumns = 150;
  const auto flat = [](std::size_t) { return 2.0; };
  for (const std::size_t rank : {1U, 5U, 16U, 60U}) {
    const auto values = with_spectrum(kRows, kColumns, rank, flat);
    const auto low = svd(kRows, kColumns, values, {.rank = 150, .energy = 0.999999});
    ASSERT_TRUE(low.has_value());
    EXPECT_EQ(low->rank, rank);
    EXPECT_LT(error_of(*low, values, rank), 1e-5) << rank;
  }
}

TEST(RandomizedSvd, TakesAllDirectionsIfTheEnergyNeedsThem) {
  const auto values = normal_floats(40 * 30, 9);
  const auto all = svd(40, 30, values, {.rank = 30, .energy = 1.0});
  ASSERT_TRUE(all.has_value());
  EXPECT_EQ(all->rank, 30U);
  EXPECT_LT(error_of(*all, values, 30), 1e-4);
  const auto half = svd(40, 30, values, {.rank = 30, .energy = 0.5});
  ASSERT_TRUE(half.has_value());
  EXPECT_GE(half->energy(half->rank), 0.5);
  EXPECT_LT(half->energy(half->rank - 1), 0.5);
}

TEST(RandomizedSvd, TakesAnyShape) {
  for (const auto& [rows, columns] :
       {std::pair{1, 50}, {50, 1}, {1, 1}, {3, 700}, {700, 3}, {17, 23}}) {
    const auto r = static_cast<std::size_t>(rows), c = static_cast<std::size_t>(columns);
    const auto values = normal_floats(r * c, 7);
    const auto low = svd(r, c, values, {.rank = 32});
    ASSERT_TRUE(low.has_value());
    EXPECT_EQ(low->rank, std::min({r, c, std::size_t{32}}));
    EXPECT_LT(error_of(*low, values, low->rank), 1e-5 * std::sqrt(squares_of(values)) + 1e-6)
        << rows << " x " << columns;
  }
}

TEST(RandomizedSvd, OfZerosHasNoDirections) {
  const auto low = svd(30, 20, std::vector<float>(600), {.rank = 8});
  ASSERT_TRUE(low.has_value());
  EXPECT_EQ(low->rank, 0U);
  EXPECT_EQ(low->squares, 0);
  EXPECT_EQ(low->residual_max, 0);
}

TEST(RandomizedSvd, KeepsVerySmallAndVeryLargeNumbers) {
  for (const double scale : {1e-30, 1e30}) {
    auto values = normal_floats(40 * 30, 11);
    for (float& v : values) v = static_cast<float>(v * scale);
    const auto low = svd(40, 30, values, {.rank = 30});
    ASSERT_TRUE(low.has_value());
    EXPECT_EQ(low->rank, 30U);
    EXPECT_LT(error_of(*low, values, 30), 1e-4 * scale);
  }
}

TEST(RandomizedSvd, RefusesWhatIsNoNumber) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    auto values = normal_floats(40 * 30, 11);
    values[7 * 30 + 4] = bad;
    const auto low = svd(40, 30, values, {.rank = 4});
    ASSERT_FALSE(low.has_value());
    EXPECT_EQ(low.error().code, ErrorCode::kMalformed);
    EXPECT_EQ(low.error().tensor, "layer.weight");
    EXPECT_NE(low.error().message.find("row 7, column 4"), std::string::npos);
  }
}

TEST(RandomizedSvd, HasTheSameBitsHoweverItReads) {
  constexpr std::size_t kRows = 3000, kColumns = 257;
  const auto values = normal_floats(kRows * kColumns, 13);
  const SvdOptions options{.rank = 12, .seed = svd_seed("layer.weight", 1)};
  const auto kept = svd(kRows, kColumns, values, options);
  const auto streamed = svd(kRows, kColumns, values, options, 0);
  ASSERT_TRUE(kept.has_value() && streamed.has_value());
  EXPECT_EQ(kept->left.values, streamed->left.values);
  EXPECT_EQ(kept->right.values, streamed->right.values);
  EXPECT_EQ(kept->squares, streamed->squares);
  SvdOptions other = options;
  other.seed = svd_seed("layer.other", 1);
  const auto another = svd(kRows, kColumns, values, other);
  ASSERT_TRUE(another.has_value());
  EXPECT_NE(kept->left.values, another->left.values);
}

TEST(RandomizedSvd, MeasuresTheErrorOfWhatWasRounded) {
  constexpr std::size_t kRows = 60, kColumns = 45, kRank = 8;
  const auto values = normal_floats(kRows * kColumns, 17);
  const auto matrix = memory_rows(kRows, kColumns, values, "x");
  for (const std::uint64_t keep : {0U, 1U << 30}) {
    RowBlocks blocks(*matrix, keep);
    const auto low = randomized_svd(blocks, {.rank = kRank}, {});
    ASSERT_TRUE(low.has_value());
    Panel up(kRows, panel_width(kRank)), down(kRank, panel_width(kColumns));
    down.rows = up.width;
    down.values.resize(down.rows * down.width);
    for (std::size_t k = 0; k < kRank; ++k) {
      for (std::size_t i = 0; i < kRows; ++i)
        up.values[i * up.width + k] = static_cast<float>(low->left.at(i, k) * low->values[k]);
      for (std::size_t j = 0; j < kColumns; ++j)
        down.values[k * down.width + j] = static_cast<float>(low->right.at(j, k));
    }
    const auto error = product_error(blocks, up, down, {});
    ASSERT_TRUE(error.has_value());
    EXPECT_NEAR(*error, error_of(*low, values, kRank), 1e-6 * *error);
  }
}

TEST(SvdOfProduct, EqualsTheProduct) {
  Matrix up(20, 6), down(15, 6);
  std::mt19937 generator(3);
  std::normal_distribution<double> normal;
  for (Matrix* matrix : {&up, &down})
    for (double& value : matrix->values) value = normal(generator);
  const ThinSvd svd = svd_of_product(up, down);
  ASSERT_EQ(svd.values.size(), 6U);
  EXPECT_TRUE(std::ranges::is_sorted(svd.values, std::greater<>()));
  EXPECT_LT(off_orthonormal(svd.left, 6), 1e-13);
  EXPECT_LT(off_orthonormal(svd.right, 6), 1e-13);
  for (std::size_t i = 0; i < up.rows; ++i)
    for (std::size_t j = 0; j < down.rows; ++j) {
      double wanted = 0, got = 0;
      for (std::size_t k = 0; k < 6; ++k) {
        wanted += up.at(i, k) * down.at(j, k);
        got += svd.left.at(i, k) * svd.values[k] * svd.right.at(j, k);
      }
      EXPECT_NEAR(got, wanted, 1e-12);
    }
}

TEST(SvdOfProduct, TakesFactorsWiderThanTheirRows) {
  Matrix up(2, 5), down(3, 5);
  for (std::size_t i = 0; i < up.values.size(); ++i) up.values[i] = static_cast<double>(i);
  for (std::size_t i = 0; i < down.values.size(); ++i)
    down.values[i] = 1.0 / (1.0 + static_cast<double>(i));
  const ThinSvd svd = svd_of_product(up, down);
  ASSERT_EQ(svd.values.size(), 2U);
  double wanted = 0, got = 0;
  for (std::size_t k = 0; k < 5; ++k) wanted += up.at(1, k) * down.at(2, k);
  for (std::size_t k = 0; k < 2; ++k) got += svd.left.at(1, k) * svd.values[k] * svd.right.at(2, k);
  EXPECT_NEAR(got, wanted, 1e-13);
}

}  // namespace
}  // namespace kilter::ops
