#include "ops/merge/gram_study.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "ops/merge/merge_test_support.h"

namespace kilter::ops {
namespace {

using test::MergeBed;
using test::Values;

double inner(const Values& a, const Values& b) {
  double out = 0;
  for (std::size_t i = 0; i < a.size(); ++i) out += a[i] * b[i];
  return out;
}

double length(const Values& a) { return std::sqrt(inner(a, a)); }

Values blend(const std::vector<Values>& vectors, const Values& shares) {
  Values out(vectors[0].size(), 0.0);
  for (std::size_t v = 0; v < vectors.size(); ++v)
    for (std::size_t i = 0; i < out.size(); ++i) out[i] += shares[v] * vectors[v][i];
  return out;
}

Values less(const Values& a, const Values& b) { return blend({a, b}, {1, -1}); }

Values arc(const Values& a, const Values& b, double t) {
  const double angle = std::acos(inner(a, b) / length(a) / length(b));
  return blend(
      {a, b}, {std::sin((1 - t) * angle) / std::sin(angle), std::sin(t * angle) / std::sin(angle)});
}

/// Binary32 outputs within their own rounding.
void expect_near(const Values& got, const Values& wanted) {
  ASSERT_EQ(got.size(), wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], wanted[i], std::fabs(wanted[i]) * 0x1p-23 + 1e-9) << i;
}

TEST(Gram, SlerpTurnsWholeTensors) {
  MergeBed bed(MergeMethod::kSlerp, {70, 50});
  bed.with_base(test::normal_values(3500, 1, DType::kF32, 1));
  bed.with_term(test::normal_values(3500, 2, DType::kF32, 2));
  bed.merge().parameters.t = 0.3;
  bed.run_every_way();
  expect_near(bed.run_values(), arc(bed.base(), bed.term(0), 0.3));
}

TEST(Gram, NearlyParallelTensorsGoStraight) {
  MergeBed bed(MergeMethod::kSlerp, {40, 50});
  const Values base = test::normal_values(2000, 1, DType::kF32, 1);
  bed.with_base(base);
  bed.with_term(test::sum_of(base, test::normal_values(2000, 0.001, DType::kF32, 2)));
  bed.merge().parameters.t = 0.25;
  expect_near(bed.run_values(), blend({bed.base(), bed.term(0)}, {0.75, 0.25}));
}

TEST(Gram, AFlatNuslerpIsAnArcOfModelsOrOfWhatTheyLearned) {
  for (const bool has_base : {false, true}) {
    MergeBed bed(MergeMethod::kNuslerp, {30, 41});
    bed.with_models(2, {.weight = 0.3}, has_base);
    bed.merge().terms[1].parameters.weight = 0.9;
    bed.run_every_way();
    Values wanted = arc(bed.term(0), bed.term(1), 0.75);
    if (has_base)
      wanted = test::sum_of(
          bed.base(), arc(less(bed.term(0), bed.base()), less(bed.term(1), bed.base()), 0.75));
    expect_near(bed.run_values(), wanted);
  }
}

/// Applies `make` to each row or column of [rows, columns].
Values by_lines(std::size_t rows, std::size_t columns, bool by_rows,
                const std::vector<Values>& tensors,
                const std::function<Values(const std::vector<Values>&)>& make) {
  Values out(rows * columns);
  const std::size_t lines = by_rows ? rows : columns, size = by_rows ? columns : rows;
  const auto place = [&](std::size_t line, std::size_t i) {
    return by_rows ? line * columns + i : i * columns + line;
  };
  for (std::size_t line = 0; line < lines; ++line) {
    std::vector<Values> own(tensors.size(), Values(size));
    for (std::size_t t = 0; t < tensors.size(); ++t)
      for (std::size_t i = 0; i < size; ++i) own[t][i] = tensors[t][place(line, i)];
    const Values made = make(own);
    for (std::size_t i = 0; i < size; ++i) out[place(line, i)] = made[i];
  }
  return out;
}

TEST(Gram, NuslerpByLinesTakesTheToolsDirections) {
  for (const bool row_wise : {false, true}) {
    for (const bool has_base : {false, true}) {
      MergeBed bed(MergeMethod::kNuslerp, {33, 1100});
      bed.with_models(2, {.weight = 1}, has_base);
      bed.merge().parameters.nuslerp_flatten = false;
      bed.merge().parameters.nuslerp_row_wise = row_wise;
      bed.run_every_way();
      std::vector<Values> vectors = {bed.term(0), bed.term(1)};
      if (has_base)
        for (Values& vector : vectors) vector = less(vector, bed.base());
      Values wanted = by_lines(33, 1100, !row_wise, vectors,
                               [](const auto& own) { return arc(own[0], own[1], 0.5); });
      if (has_base) wanted = test::sum_of(bed.base(), wanted);
      expect_near(bed.run_values(), wanted);
    }
  }
}

TEST(Gram, MultislerpOfTheToolIsTheMeanDirection) {
  MergeBed bed(MergeMethod::kMultislerp, {20, 30});
  bed.with_models(3, {.weight = 0.5});
  bed.merge().terms[2].parameters.weight = 1;
  bed.run_every_way();
  std::vector<Values> deltas;
  Values shares;
  double norms = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    deltas.push_back(less(bed.term(i), bed.base()));
    const double weight = i == 2 ? 0.5 : 0.25;
    shares.push_back(weight / length(deltas[i]));
    norms += weight * length(deltas[i]);
  }
  const Values mean = blend(deltas, shares);
  expect_near(bed.run_values(), blend({bed.base(), mean}, {1, norms / length(mean)}));
}

/// Where the pull of all vectors is in balance: tangents weighted by angle add up to nothing.
double pull(const std::vector<Values>& vectors, const Values& weights, const Values& at) {
  Values sum(at.size(), 0.0);
  for (std::size_t v = 0; v < vectors.size(); ++v) {
    const double cosine = inner(vectors[v], at) / length(vectors[v]) / length(at);
    const double angle = std::acos(cosine), factor = weights[v] * angle / std::sin(angle);
    sum = blend({sum, vectors[v], at},
                {1, factor / length(vectors[v]), -factor * cosine / length(at)});
  }
  return length(sum);
}

TEST(Gram, KarcherBalancesAllModels) {
  for (const MergeCompat compat : {MergeCompat::kMergekit, MergeCompat::kPaper}) {
    MergeBed bed(MergeMethod::kKarcher, {25, 16});
    Values weights;
    double norms = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      bed.with_term(test::normal_values(400, 1.0 + static_cast<double>(i), DType::kF32, i + 3),
                    {.weight = static_cast<double>(i) + 1});
      weights.push_back(compat == MergeCompat::kPaper ? (static_cast<double>(i) + 1) / 6 : 1.0 / 3);
      norms += weights[i] * length(bed.term(i));
    }
    bed.merge().compat = compat;
    bed.merge().parameters.tolerance = 1e-9;
    bed.merge().parameters.max_iterations = 100;
    bed.run_every_way();
    const Values mean = bed.run_values();
    EXPECT_LT(pull({bed.term(0), bed.term(1), bed.term(2)}, weights, mean), 1e-6);
    EXPECT_NEAR(length(mean), norms, norms * 1e-6);
  }
}

TEST(Gram, MultislerpOfThePaperTakesOneStepToTheBalance) {
  MergeBed bed(MergeMethod::kMultislerp, {25, 16});
  for (std::size_t i = 0; i < 3; ++i)
    bed.with_term(test::normal_values(400, 1, DType::kF32, i + 3), {.weight = 1 + 2.0 * (i == 0)});
  const std::vector<Values> vectors = {bed.term(0), bed.term(1), bed.term(2)};
  const double before = pull(vectors, {0.6, 0.2, 0.2}, bed.run_values());
  bed.merge().compat = MergeCompat::kPaper;
  const double after = pull(vectors, {0.6, 0.2, 0.2}, bed.run_values());
  EXPECT_LT(after, before / 3);
}

Values plain_stock(const Values& base, const std::vector<Values>& terms) {
  std::vector<Values> deltas;
  for (const Values& term : terms) deltas.push_back(less(term, base));
  double cosines = 0;
  for (const auto& [i, j] : {std::pair{0U, 1U}, {0U, 2U}, {1U, 2U}})
    cosines += inner(deltas[i], deltas[j]) / length(deltas[i]) / length(deltas[j]) / 3;
  const double t = 3 * cosines / (1 + 2 * cosines);
  return blend({base, deltas[0], deltas[1], deltas[2]}, {1, t / 3, t / 3, t / 3});
}

TEST(Gram, ModelStockInterpolatesByTheAngle) {
  for (const bool filter_wise : {false, true}) {
    MergeBed bed(MergeMethod::kModelStock, {24, 1500});
    const Values base = test::normal_values(36000, 1, DType::kF32, 1);
    const Values common = test::normal_values(36000, 0.1, DType::kF32, 2);
    bed.with_base(base);
    for (std::size_t i = 0; i < 3; ++i)
      bed.with_term(test::sum_of(test::sum_of(base, common),
                                 test::normal_values(36000, 0.1, DType::kF32, 5 + i)));
    bed.merge().parameters.filter_wise = filter_wise;
    bed.run_every_way();
    const std::vector<Values> terms = {bed.term(0), bed.term(1), bed.term(2)};
    if (!filter_wise) {
      expect_near(bed.run_values(), plain_stock(bed.base(), terms));
      continue;
    }
    const Values wanted =
        by_lines(24, 1500, true, {bed.base(), terms[0], terms[1], terms[2]},
                 [](const auto& own) { return plain_stock(own[0], {own[1], own[2], own[3]}); });
    expect_near(bed.run_values(), wanted);
  }
}

TEST(Gram, SmallTaskVectorsCountOnlyWithoutTheToolsFloor) {
  Gram gram(2);
  gram.at(0, 0) = gram.at(1, 1) = 1e-8;
  gram.at(0, 1) = 0.5e-8;
  EXPECT_NEAR(model_stock_shares(gram, MergeCompat::kPaper)[0], 0.5 / 1.5, 1e-12);
  EXPECT_NEAR(model_stock_shares(gram, MergeCompat::kMergekit)[0], 0.005 / 1.005, 1e-12);
}

TEST(Gram, SameModelsStayWhatTheyAre) {
  Gram gram(3);
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = i; j < 3; ++j) gram.at(i, j) = 4;
  const Values thirds(3, 1.0 / 3);
  double sum = 0;
  for (const double share : karcher_shares(gram, thirds, 10, 1e-5)) sum += share;
  EXPECT_NEAR(sum, 1, 1e-12);
  sum = 0;
  for (const double share : multislerp_shares(gram, thirds, 1e-8, MergeCompat::kPaper))
    sum += share;
  EXPECT_NEAR(sum, 1, 1e-12);
  EXPECT_EQ(slerp_shares(gram, 0.5), (Values{0.5, 0.5}));
  EXPECT_EQ(nuslerp_shares(gram, std::vector<double>{1, 3}), (Values{0.25, 0.75}));
}

TEST(Gram, WhatHasNoLengthBreaksNothing) {
  const Gram zeros(2);
  for (const auto& shares :
       {slerp_shares(zeros, 0.5), nuslerp_shares(zeros, std::vector<double>{1, 1}),
        multislerp_shares(zeros, std::vector<double>{0.5, 0.5}, 1e-8, MergeCompat::kMergekit),
        karcher_shares(zeros, std::vector<double>{0.5, 0.5}, 10, 1e-5),
        model_stock_shares(zeros, MergeCompat::kPaper)})
    for (const double share : shares) EXPECT_TRUE(std::isfinite(share));
}

}  // namespace
}  // namespace kilter::ops
