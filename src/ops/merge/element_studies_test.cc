#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "ops/merge/merge_test_support.h"

namespace kilter::ops {
namespace {

using test::MergeBed;
using test::Values;

/// Bits of the numbers as they would be written.
std::vector<std::byte> as_written(const Values& values) {
  return test::narrowed(DType::kF32, values);
}

TEST(Nearswap, TakesMoreOfWhatIsNearer) {
  MergeBed bed(MergeMethod::kNearswap, {31, 33});
  bed.with_models(1);
  bed.merge().parameters.t = 0.02;
  Values wanted(bed.elements());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const double a = bed.base()[i], b = bed.term(0)[i];
    const double share = a == b ? 1 : std::min(0.02 / std::fabs(a - b), 1.0);
    wanted[i] = (1 - share) * a + share * b;
  }
  EXPECT_EQ(bed.run_every_way(), as_written(wanted));
}

/// The keys' order: as binary32, of equal ones the first.
std::vector<bool> largest(const Values& values, std::size_t count) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) {
    return static_cast<float>(values[a]) > static_cast<float>(values[b]);
  });
  std::vector<bool> out(values.size());
  for (std::size_t i = 0; i < count; ++i) out[order[i]] = true;
  return out;
}

Values plain_sce(const MergeBed& bed, std::size_t terms, double top) {
  const std::size_t count = bed.elements();
  std::vector<Values> deltas(terms, Values(count));
  Values variance(count, 0.0);
  std::size_t varied = 0;
  for (std::size_t i = 0; i < count; ++i) {
    double mean = 0;
    for (std::size_t t = 0; t < terms; ++t) mean += deltas[t][i] = bed.term(t)[i] - bed.base()[i];
    mean *= 1 / static_cast<double>(terms);
    for (std::size_t t = 0; t < terms; ++t)
      variance[i] += (deltas[t][i] - mean) * (deltas[t][i] - mean);
    variance[i] *= 1 / static_cast<double>(terms);
    varied += static_cast<float>(variance[i]) != 0 ? 1U : 0U;
  }
  const auto kept_count = static_cast<std::size_t>(static_cast<double>(varied) * top);
  const std::vector<bool> kept =
      top >= 1 ? std::vector<bool>(count, true) : largest(variance, kept_count);
  Values weights(terms, 0.0);
  double sum = 0;
  for (std::size_t t = 0; t < terms; ++t) {
    for (std::size_t i = 0; i < count; ++i) {
      if (!kept[i]) deltas[t][i] = 0;
      weights[t] += deltas[t][i] * deltas[t][i];
    }
    sum += weights[t];
  }
  Values out(count);
  for (std::size_t i = 0; i < count; ++i) {
    double total = 0, weighted = 0, divisor = 0;
    for (std::size_t t = 0; t < terms; ++t) total += deltas[t][i];
    for (std::size_t t = 0; t < terms; ++t) {
      if (total >= 0 ? !(deltas[t][i] > 0) : !(deltas[t][i] < 0)) continue;
      weighted += weights[t] / sum * deltas[t][i];
      divisor += weights[t] / sum;
    }
    out[i] = bed.base()[i] + weighted / std::max(divisor, 1e-6);
  }
  return out;
}

TEST(Sce, SelectsWeighsAndErases) {
  for (const double top : {1.0, 0.4, 0.05}) {
    MergeBed bed(MergeMethod::kSce, {45, 47});
    bed.with_models(3);
    bed.merge().parameters.select_topk = top;
    const auto got = bed.run_every_way();
    Values values(bed.elements());
    widen_floats(DType::kF32, got.data(), values.size(), values.data());
    const Values wanted = plain_sce(bed, 3, top);
    for (std::size_t i = 0; i < wanted.size(); ++i)  // sums of squares are added in lanes
      ASSERT_NEAR(values[i], wanted[i], std::fabs(wanted[i]) * 0x1p-24 + 1e-12) << top << " " << i;
  }
}

TEST(Sce, SmallTaskVectorsHaveTheSameWeightInTheToolAlone) {
  MergeBed bed(MergeMethod::kSce, {2});
  bed.with_base({0, 0}).with_term({1e-4, 1e-4}).with_term({3e-4, 3e-4});
  EXPECT_NEAR(bed.run_values()[0], 2e-4, 1e-10);
  bed.merge().compat = MergeCompat::kPaper;
  EXPECT_NEAR(bed.run_values()[0], 2.8e-4, 1e-10);
}

Values plain_fusion(const MergeBed& bed, std::size_t rows, std::size_t columns) {
  Values importance(bed.elements());
  for (std::size_t r = 0; r < rows; ++r) {
    double x_sum = 0, base_sum = 0, divergence = 0;
    for (std::size_t i = r * columns; i < (r + 1) * columns; ++i) {
      x_sum += std::exp(bed.term(0)[i]);
      base_sum += std::exp(bed.base()[i]);
    }
    for (std::size_t i = r * columns; i < (r + 1) * columns; ++i) {
      const double p = std::exp(bed.term(0)[i]) / x_sum, q = std::exp(bed.base()[i]) / base_sum;
      divergence += p * std::log(p / q);
    }
    for (std::size_t i = r * columns; i < (r + 1) * columns; ++i)
      importance[i] = std::fabs(bed.term(0)[i] - bed.base()[i]) * divergence;
  }
  Values sorted = importance;
  std::ranges::sort(sorted);
  const std::size_t n = sorted.size();
  const double threshold = sorted[(n - 1) / 2] + 1.5 * (sorted[n * 3 / 4 - 1] - sorted[n / 4 - 1]);
  Values out(n);
  for (std::size_t i = 0; i < n; ++i)
    out[i] = importance[i] >= threshold ? bed.term(0)[i] : bed.base()[i];
  return out;
}

TEST(ArceeFusion, TakesWhatStandsOut) {
  for (const std::int64_t columns : {16, 1030, 40000}) {
    const std::int64_t rows = columns == 40000 ? 2 : 9;
    MergeBed bed(MergeMethod::kArceeFusion, {rows, columns});
    bed.with_models(1);
    const Values got = bed.run_values(), wanted = plain_fusion(bed, static_cast<std::size_t>(rows),
                                                               static_cast<std::size_t>(columns));
    std::size_t taken = 0, other = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      taken += wanted[i] != bed.base()[i] ? 1U : 0U;
      other += std::fabs(got[i] - wanted[i]) > 1e-6 ? 1U : 0U;
    }
    EXPECT_GT(taken, got.size() / 50);
    EXPECT_EQ(other, 0U) << columns;
    bed.run_every_way();
  }
}

Values plain_ram(const MergeBed& bed, std::size_t terms, bool plus) {
  const auto delta = [&](std::size_t t, std::size_t i) { return bed.term(t)[i] - bed.base()[i]; };
  const auto changed = [&](std::size_t t, std::size_t i) { return std::fabs(delta(t, i)) > 1e-5; };
  const auto changes = [&](std::size_t i) {
    std::size_t out = 0;
    for (std::size_t t = 0; t < terms; ++t) out += changed(t, i) ? 1U : 0U;
    return out;
  };
  Values factors(terms, 1.0), out(bed.elements());
  for (std::size_t t = 0; plus && t < terms; ++t) {
    double shared = 0, unique = 0;
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (!changed(t, i)) continue;
      (changes(i) > 1 ? shared : unique) += 1;
    }
    factors[t] = 1 + 0.1 * std::min(unique > 0 ? shared / unique : 0, 0.2);
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    double sum = 0, factor = 1;
    for (std::size_t t = 0; t < terms; ++t) {
      if (!changed(t, i)) continue;
      sum += delta(t, i);
      if (changes(i) == 1) factor = factors[t];
    }
    const double mean = sum / std::max(static_cast<double>(changes(i)), 1.0);
    out[i] = bed.base()[i] + factor * mean;
  }
  return out;
}

TEST(Ram, AveragesWhatIsSharedAndKeepsWhatIsUnique) {
  for (const MergeMethod method : {MergeMethod::kRam, MergeMethod::kRamPlus}) {
    for (const double zeros : {0.2, 0.95}) {
      MergeBed bed(method, {60, 70});
      const Values from = test::normal_values(4200, 0.5, DType::kF32, 1);
      bed.with_base(from);
      for (std::size_t i = 0; i < 3; ++i)
        bed.with_term(
            test::sum_of(from, test::normal_values(4200, 0.05, DType::kF32, 10 + i, zeros)));
      EXPECT_EQ(bed.run_every_way(),
                as_written(plain_ram(bed, 3, method == MergeMethod::kRamPlus)));
    }
  }
}

}  // namespace
}  // namespace kilter::ops
