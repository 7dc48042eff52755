#include "tensor/kernels/panel_product.h"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <random>
#include <vector>

namespace kilter {
namespace {

std::vector<float> random_values(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> out(count);
  for (float& value : out) value = normal(generator);
  return out;
}

struct Product {
  std::size_t rows, depth, width;
  bool transposed;
  std::vector<float> a, b;

  StridedFloats left() const {
    if (transposed) return {a.data(), rows, depth, 1, rows};
    return {a.data(), rows, depth, depth, 1};
  }
  /// Sums in the order of the inner index, one element at a time.
  std::vector<double> plain() const {
    const StridedFloats l = left();
    std::vector<double> out(rows * width);
    for (std::size_t i = 0; i < rows; ++i)
      for (std::size_t j = 0; j < width; ++j)
        for (std::size_t k = 0; k < depth; ++k)
          out[i * width + j] += static_cast<double>(l.data[i * l.row_stride + k * l.depth_stride]) *
                                static_cast<double>(b[k * width + j]);
    return out;
  }
};

Product make(std::size_t rows, std::size_t depth, std::size_t width, bool transposed) {
  return {rows,
          depth,
          width,
          transposed,
          random_values(rows * depth, 1),
          random_values(depth * width, 2)};
}

TEST(PanelProduct, SumsInTheOrderOfTheInnerIndexBitForBit) {
  for (const bool transposed : {false, true})
    for (const auto& [rows, depth, width] :
         {std::tuple{1U, 1U, 8U}, {3U, 300U, 8U}, {9U, 17U, 48U}, {64U, 513U, 40U}}) {
      const Product product = make(rows, depth, width, transposed);
      std::vector<double> out(rows * width);
      add_panel_product(product.left(), product.b.data(), width, width, out.data(), width);
      EXPECT_EQ(out, product.plain()) << rows << " " << depth << " " << width;
    }
}

TEST(PanelProduct, HasTheSameBitsWithEveryInstructionSet) {
  const Product product = make(21, 600, 48, false);
  const std::vector<double> wide(product.b.begin(), product.b.end());
  const auto wanted = product.plain();
  for (std::int64_t targets = hwy::SupportedTargets(); targets != 0; targets &= targets - 1) {
    hwy::GetChosenTarget().Update(targets & -targets);
    std::vector<double> out(wanted.size()), other(wanted.size());
    add_panel_product(product.left(), product.b.data(), 48, 48, out.data(), 48);
    add_panel_product(product.left(), wide.data(), 48, 48, other.data(), 48);
    EXPECT_EQ(out, wanted) << targets;
    EXPECT_EQ(other, wanted) << targets;  // these products are exact too
  }
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

TEST(PanelProduct, AddsToAPartOfAWiderPanel) {
  const Product product = make(5, 30, 16, false);
  const auto whole = product.plain();
  std::vector<double> out(5 * 16, 1);
  add_panel_product(product.left(), product.b.data() + 8, 16, 8, out.data() + 8, 16);
  for (std::size_t i = 0; i < 5; ++i)
    for (std::size_t j = 0; j < 16; ++j) {
      const double wanted = j < 8 ? 1 : whole[i * 16 + j];
      EXPECT_NEAR(out[i * 16 + j], j < 8 ? wanted : wanted + 1, 1e-12);
    }
}

TEST(PanelProduct, SumsSquares) {
  const auto values = random_values(1003, 5);
  std::vector<double> zeros(values.size());
  double wanted = 0;
  for (const float v : values) wanted += static_cast<double>(v) * static_cast<double>(v);
  EXPECT_NEAR(sum_of_squares(values), wanted, 1e-9);
  EXPECT_EQ(sum_of_squared_errors(zeros, values.data()), sum_of_squares(values));
}

}  // namespace
}  // namespace kilter
