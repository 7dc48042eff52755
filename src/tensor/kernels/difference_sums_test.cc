#include "tensor/kernels/difference_sums.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace kilter {
namespace {

/// One element after the other; sums in eight lanes, as is promised.
DifferenceSums reference(const std::vector<double>& a, const std::vector<double>& b) {
  DifferenceSums out;
  double sums[5][8] = {};
  for (std::size_t i = 0; i < a.size(); ++i) {
    ++out.elements;
    const bool same = a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]));
    out.changed += same ? 0U : 1U;
    if (!std::isfinite(a[i]) || !std::isfinite(b[i])) {
      ++out.not_finite;
      continue;
    }
    const double difference = b[i] - a[i];
    out.largest = std::max(out.largest, std::fabs(difference));
    const double terms[5] = {difference, difference * difference, a[i] * b[i], a[i] * a[i],
                             b[i] * b[i]};
    for (std::size_t k = 0; k < 5; ++k) sums[k][i % 8] += terms[k];
  }
  double* const totals[5] = {&out.sum, &out.squares, &out.dot, &out.a_squares, &out.b_squares};
  for (std::size_t k = 0; k < 5; ++k)
    for (const double lane : sums[k]) *totals[k] += lane;
  return out;
}

TEST(DifferenceSums, AgreeWithTheReferenceToTheLastBit) {
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal;
  for (const std::size_t count : {0U, 1U, 7U, 8U, 9U, 64U, 1023U, 1024U}) {
    for (const bool rough : {false, true}) {
      std::vector<double> a(count), b(count);
      for (std::size_t i = 0; i < count; ++i) {
        a[i] = normal(random);
        b[i] = random() % 3 == 0 ? a[i] : normal(random);
        if (rough && random() % 5 == 0) a[i] = random() % 2 == 0 ? NAN : -HUGE_VAL;
        if (rough && random() % 5 == 0) b[i] = random() % 2 == 0 ? NAN : -HUGE_VAL;
      }
      const DifferenceSums got = difference_sums(a, b), wanted = reference(a, b);
      EXPECT_EQ(got.elements, wanted.elements);
      EXPECT_EQ(got.not_finite, wanted.not_finite) << count;
      EXPECT_EQ(got.changed, wanted.changed) << count;
      EXPECT_EQ(got.largest, wanted.largest);
      EXPECT_EQ(got.sum, wanted.sum) << count;
      EXPECT_EQ(got.squares, wanted.squares);
      EXPECT_EQ(got.dot, wanted.dot);
      EXPECT_EQ(got.a_squares, wanted.a_squares);
      EXPECT_EQ(got.b_squares, wanted.b_squares);
    }
  }
}

}  // namespace
}  // namespace kilter
