#include "tensor/kernels/row_product.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace kilter {
namespace {

/// Bit for bit: sums in one order, no product fused with a sum.
TEST(RowProduct, EqualsTheReference) {
  std::mt19937_64 random(7);
  std::normal_distribution<double> normal;
  for (const std::size_t rows : {1U, 3U, 4U, 9U}) {
    for (const std::size_t inner : {0U, 1U, 5U, 64U}) {
      for (const std::size_t columns : {1U, 7U, 16U, 37U, 256U}) {
        std::vector<double> left(rows * inner), right(inner * columns), out(rows * columns, -1.0),
            expected(rows * columns, -2.0);
        for (double& value : left) value = normal(random);
        for (double& value : right) value = normal(random);
        row_product(left.data(), right.data(), rows, inner, columns, out.data());
        row_product_reference(left.data(), right.data(), rows, inner, columns, expected.data());
        EXPECT_EQ(out, expected) << rows << " " << inner << " " << columns;
      }
    }
  }
}

}  // namespace
}  // namespace kilter
