#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "ops/merge/kernels/philox.h"
#include "ops/merge/merge_test_support.h"
#include "ops/merge/thinning.h"

namespace kilter::ops {
namespace {

using test::MergeBed;
using test::Values;

Values delta_of(const Values& x, const Values& base) {
  Values out(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) out[i] = x[i] - base[i];
  return out;
}

/// The largest first; of equal ones the first. As the tool, in binary32.
std::vector<std::size_t> by_magnitude(const Values& x, const Values& base) {
  std::vector<std::size_t> order(x.size());
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) {
    const auto size = [&](std::size_t i) {
      return std::fabs(static_cast<float>(x[i]) - static_cast<float>(base[i]));
    };
    return size(a) > size(b);
  });
  return order;
}

Values keep_ranks(const Values& x, const Values& base, std::size_t from, std::size_t to) {
  const auto order = by_magnitude(x, base);
  Values delta = delta_of(x, base), out(x.size(), 0.0);
  for (std::size_t r = from; r < std::min(to, order.size()); ++r) out[order[r]] = delta[order[r]];
  return out;
}

double factor_by_magnitudes(const Values& before, const Values& after) {
  double a = 0, b = 0;
  for (const double value : before) a += std::fabs(value);
  for (const double value : after) b += std::fabs(value);
  return a / b;
}

/// Plain loops over what is kept of each term.
Values plain_gta(MergeBed& bed, const std::vector<Values>& kept, const Values& factors,
                 bool elects) {
  const MergeParameters& own = bed.merge().parameters;
  Values out(bed.elements());
  for (std::size_t i = 0; i < out.size(); ++i) {
    double total = 0, weights = 0;
    Values values;
    for (std::size_t t = 0; t < kept.size(); ++t) {
      const double weight = bed.merge().terms[t].parameters.weight;
      values.push_back(weight * factors[t] * kept[t][i]);
      total = t == 0 ? values[0] : total + values[t];
      weights += weight;
    }
    double sum = total;
    if (elects) {
      sum = weights = 0;
      for (std::size_t t = 0; t < kept.size(); ++t) {
        const bool agrees = total >= 0 ? values[t] > 0 : values[t] < 0;
        sum += agrees ? values[t] : 0;
        weights += agrees ? bed.merge().terms[t].parameters.weight : 0;
      }
    }
    if (own.normalize) sum /= std::fabs(weights) < 1e-8 ? 1 : weights;
    out[i] = bed.base()[i] + own.lambda * sum;
  }
  return out;
}

TEST(Gta, TaskArithmeticIsItsFormula) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF64}) {
    MergeBed bed(MergeMethod::kTaskArithmetic, {37, 101}, dtype);
    bed.with_models(3);
    bed.merge().parameters.lambda = 1.3;
    for (std::size_t i = 0; i < 3; ++i)
      bed.merge().terms[i].parameters.weight = 0.3 * static_cast<double>(i) - 0.2;
    std::vector<Values> kept;
    for (std::size_t i = 0; i < 3; ++i) kept.push_back(delta_of(bed.term(i), bed.base()));
    EXPECT_EQ(bed.run_every_way(), test::narrowed(dtype, plain_gta(bed, kept, {1, 1, 1}, false)));
    bed.merge().parameters.normalize = true;
    EXPECT_EQ(bed.run_every_way(), test::narrowed(dtype, plain_gta(bed, kept, {1, 1, 1}, false)));
  }
}

TEST(Gta, TiesKeepsTheLargestAndElectsSigns) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF64}) {
    for (const bool normalize : {true, false}) {
      MergeBed bed(MergeMethod::kTies, {61, 103}, dtype);
      bed.with_models(3, {.weight = 0.4, .density = 0.37});
      bed.merge().terms[1].parameters.weight = -0.7;
      bed.merge().parameters.normalize = normalize;
      std::vector<Values> kept;
      const auto count = static_cast<std::size_t>(0.37 * 61 * 103);
      for (std::size_t i = 0; i < 3; ++i)
        kept.push_back(keep_ranks(bed.term(i), bed.base(), 0, count));
      EXPECT_EQ(bed.run_every_way(), test::narrowed(dtype, plain_gta(bed, kept, {1, 1, 1}, true)));
    }
  }
}

TEST(Gta, ThresholdsOfLargeTensorsAreExactToo) {
  MergeBed bed(MergeMethod::kTies, {300, 1001}, DType::kBF16);  // many equal magnitudes
  bed.with_models(2, {.density = 0.2});
  std::vector<Values> kept;
  for (std::size_t i = 0; i < 2; ++i) kept.push_back(keep_ranks(bed.term(i), bed.base(), 0, 60060));
  const auto wanted = test::narrowed(DType::kBF16, plain_gta(bed, kept, {1, 1}, true));
  EXPECT_EQ(bed.run(2), wanted);
  EXPECT_EQ(bed.run(1, 65536, 1U << 16), wanted);
}

TEST(Gta, BreadcrumbsDropsTheLargestAndTheSmallest) {
  for (const MergeMethod method : {MergeMethod::kBreadcrumbs, MergeMethod::kBreadcrumbsTies}) {
    MergeBed bed(method, {50, 40});
    bed.with_models(2, {.weight = 0.6, .density = 0.9, .gamma = 0.02});
    std::vector<Values> kept;
    for (std::size_t i = 0; i < 2; ++i)
      kept.push_back(keep_ranks(bed.term(i), bed.base(), 40, 1840));
    const bool elects = method == MergeMethod::kBreadcrumbsTies;
    EXPECT_EQ(bed.run_every_way(),
              test::narrowed(DType::kF32, plain_gta(bed, kept, {1, 1}, elects)));
  }
}

TEST(Gta, BreadcrumbsOfASmallTensorKeepsItsShare) {
  MergeBed bed(MergeMethod::kBreadcrumbs, {20});  // gamma's share is no element
  bed.with_models(1, {.density = 0.5});
  const std::vector<Values> kept = {keep_ranks(bed.term(0), bed.base(), 0, 10)};
  EXPECT_EQ(bed.run(), test::narrowed(DType::kF32, plain_gta(bed, kept, {1}, false)));
}

/// What the documented numbers keep, made one block at a time.
Values keep_by_chance(MergeBed& bed, std::size_t term, double chance) {
  const PhiloxKey key = merge_random_key(bed.merge());
  Values out = delta_of(bed.term(term), bed.base());
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::uint32_t counter[4] = {static_cast<std::uint32_t>(i / 8), 0,
                                      static_cast<std::uint32_t>(term), 0};
    std::uint32_t words[4];
    philox_block(key, counter, words);
    if (static_cast<double>(random_bits_of(words, i % 8)) >= chance * 0x1p32) out[i] = 0;
  }
  return out;
}

TEST(Gta, DareIsItsFormulaForTheSameMask) {
  for (const MergeMethod method : {MergeMethod::kDareLinear, MergeMethod::kDareTies}) {
    for (const MergeCompat compat : {MergeCompat::kMergekit, MergeCompat::kPaper}) {
      SCOPED_TRACE(std::string(merge_method_name(method)) +
                   (compat == MergeCompat::kPaper ? " paper" : ""));
      MergeBed bed(method, {64, 65});
      bed.with_models(2, {.weight = 0.5, .density = 0.3});
      bed.merge().compat = compat;
      bed.merge().seed = 42;
      std::vector<Values> kept;
      Values factors;
      for (std::size_t i = 0; i < 2; ++i) {
        kept.push_back(keep_by_chance(bed, i, 0.3));
        const Values before = delta_of(bed.term(i), bed.base());
        factors.push_back(compat == MergeCompat::kPaper ? 1 / 0.3
                                                        : factor_by_magnitudes(before, kept[i]));
      }
      const Values wanted = plain_gta(bed, kept, factors, method == MergeMethod::kDareTies);
      const auto got = bed.run_every_way();
      Values values(bed.elements());
      widen_floats(DType::kF32, got.data(), values.size(), values.data());
      for (std::size_t i = 0; i < values.size(); ++i)  // sums of magnitudes are added in lanes
        ASSERT_NEAR(values[i], wanted[i], std::fabs(wanted[i]) * 0x1p-23 + 1e-12) << i;
    }
  }
}

TEST(Gta, MasksDependOnSeedNameAndTermAlone) {
  MergeBed bed(MergeMethod::kDareLinear, {100, 1000});
  bed.with_base(Values(100000, 0.0));
  bed.with_term(Values(100000, 1.0), {.weight = 1, .density = 0.3});
  bed.with_term(Values(100000, 1.0), {.weight = 2, .density = 0.3});
  bed.merge().parameters.rescale = false;
  const Values first = bed.run_values();
  std::array<double, 4> shares{};
  for (const double value : first) shares[static_cast<std::size_t>(value)] += 1;
  for (double& share : shares) share /= 100000;
  EXPECT_NEAR(shares[0], 0.49, 0.006);  // independent: 0.7 * 0.7
  EXPECT_NEAR(shares[1], 0.21, 0.006);
  EXPECT_NEAR(shares[2], 0.21, 0.006);
  EXPECT_NEAR(shares[3], 0.09, 0.006);
  EXPECT_EQ(first, bed.run_values(3, 64));
  const auto agreement = [&](const Values& other) {
    std::size_t same = 0;
    for (std::size_t i = 0; i < other.size(); ++i) same += first[i] == other[i] ? 1U : 0U;
    return static_cast<double>(same) / 100000;
  };
  const double by_chance = 0.49 * 0.49 + 2 * 0.21 * 0.21 + 0.09 * 0.09;
  bed.merge().seed = 1;
  EXPECT_NEAR(agreement(bed.run_values()), by_chance, 0.01);
  bed.merge().seed = 0;
  bed.merge().name = "other.weight";
  EXPECT_NEAR(agreement(bed.run_values()), by_chance, 0.01);
}

TEST(Gta, DellaKeepsByRankWithinTheRow) {
  constexpr std::size_t kRows = 10000, kColumns = 8;
  MergeBed bed(MergeMethod::kDellaLinear, {kRows, kColumns});
  Values rows(kRows * kColumns);
  for (std::size_t i = 0; i < rows.size(); ++i)
    rows[i] = static_cast<double>((i * 5) % kColumns + 1) * (i % 3 == 0 ? -1 : 1);
  bed.with_base(Values(rows.size(), 0.0));
  bed.with_term(rows, {.density = 0.5, .epsilon = 0.2});
  bed.merge().parameters.rescale = false;
  const auto shares = [&] {
    const Values out = bed.run_values(2, 808);
    std::array<double, kColumns> kept{};
    for (std::size_t i = 0; i < out.size(); ++i)
      if (out[i] != 0) kept[static_cast<std::size_t>(std::fabs(rows[i])) - 1] += 1.0 / kRows;
    return kept;
  };
  const auto tool = shares();
  for (std::size_t rank = 0; rank < kColumns; ++rank)
    EXPECT_NEAR(tool[rank], 0.3 + 0.4 * static_cast<double>(rank) / 7, 0.015) << rank;
  bed.merge().compat = MergeCompat::kPaper;
  const auto paper = shares();
  for (std::size_t rank = 0; rank < kColumns; ++rank)
    EXPECT_NEAR(paper[rank], 0.4 + 0.2 * static_cast<double>(rank) / 7, 0.015) << rank;
}

TEST(Gta, DellaIsTheSameForAnyTiles) {
  for (const std::int64_t columns : {1, 7, 100, 3000}) {
    MergeBed bed(MergeMethod::kDella, {4, columns}, DType::kBF16);
    bed.with_models(2, {.density = 0.6, .epsilon = 0.3});
    bed.run_every_way();
    bed.merge().compat = MergeCompat::kPaper;
    bed.run_every_way();
  }
}

TEST(Gta, RescaledDellaKeepsTheSumOfMagnitudes) {
  MergeBed bed(MergeMethod::kDellaLinear, {200, 300});
  bed.with_models(1, {.density = 0.4, .epsilon = 0.1});
  const Values out = bed.run_values();
  EXPECT_NEAR(factor_by_magnitudes(delta_of(out, bed.base()), delta_of(bed.term(0), bed.base())), 1,
              1e-5);
}

TEST(Gta, NumbersThatAreNoneAreReportedEvenWhereTheyAreDropped) {
  MergeBed bed(MergeMethod::kDareTies, {10, 10});
  bed.with_base(Values(100, 0.5));
  Values bad(100, 0.25);
  bad[50] = std::nan("");
  bed.with_term(Values(100, 0.5), {.density = 0.01});
  bed.with_term(bad, {.density = 0.01});
  bed.merge().parameters.rescale = false;
  const auto kernel = bed.kernel();
  ASSERT_TRUE(kernel.has_value());
  std::vector<std::byte> out(400);
  std::vector<Bytes> inputs;
  std::vector<std::vector<std::byte>> stored;
  for (const Values& values : {bed.base(), bed.term(0), bed.term(1)})
    stored.push_back(test::narrowed(DType::kF32, values));
  for (const auto& bytes : stored) inputs.push_back(bytes);
  const Status status = (*kernel)->run({0, out, inputs});
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code, ErrorCode::kMalformed);
  EXPECT_EQ(status.error().path, "term1");
}

TEST(Gta, DensityOfNothingIsTheBase) {
  MergeBed bed(MergeMethod::kTies, {9, 9});
  bed.with_models(2, {.density = 0});
  EXPECT_EQ(bed.run(), test::narrowed(DType::kF32, bed.base()));
}

}  // namespace
}  // namespace kilter::ops
