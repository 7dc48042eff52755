#include "ops/factors/panel.h"

#include <algorithm>
#include <cmath>

#include "tensor/kernels/panel_product.h"

namespace kilter::ops {
namespace {

constexpr int kBasisPassesMax = 4;
constexpr double kBasisDeviationMax = 1e-5;  // more of it is another pass
// Of eigenvalues, squares of lengths: what binary32 rounds off a column has 1e-15.
constexpr double kBasisNoise = 1e-12;

/// A bijection of 64 bits that mixes them well. Source: Steele, Lea, Flood, Fast Splittable
/// Pseudorandom Number Generators (2014).
std::uint64_t mixed(std::uint64_t x) {
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9U;
  x = (x ^ x >> 27) * 0x94D049BB133111EBU;
  return x ^ x >> 31;
}

float random_element(std::uint64_t seed, std::uint64_t row, std::uint64_t column) {
  constexpr std::int32_t kMean = 2 * 0xFFFF;
  const std::uint64_t bits = mixed(seed + 0x9E3779B97F4A7C15U * (row << 20 | column));
  const std::uint64_t sum =
      (bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + (bits >> 48);
  return static_cast<float>(static_cast<std::int32_t>(sum) - kMean) * 0x1p-16F;
}

/// 1 / norm of each column of which `squares` are the squared norms; 0 for columns of zeros.
std::vector<double> inverse_norms(const Matrix& squares) {
  std::vector<double> out(squares.rows);
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = squares.at(i, i) > 0 ? 1 / std::sqrt(squares.at(i, i)) : 0;
  return out;
}

double deviation_of(const Matrix& squares) {
  double sum = 0;
  for (std::size_t i = 0; i < squares.rows; ++i)
    for (std::size_t j = 0; j < squares.rows; ++j) {
      const double wanted = i == j && squares.at(i, i) > 0 ? 1 : 0;
      sum += (squares.at(i, j) - wanted) * (squares.at(i, j) - wanted);
    }
  return std::sqrt(sum);
}

/// What a panel with these products is multiplied by to have orthonormal columns.
Matrix whitening(Matrix squares) {
  const std::size_t width = squares.rows;
  const std::vector<double> scales = inverse_norms(squares);
  for (std::size_t i = 0; i < width; ++i)
    for (std::size_t j = 0; j < width; ++j) squares.at(i, j) *= scales[i] * scales[j];
  const SymmetricEigen eigen = symmetric_eigen(squares);
  Matrix out(width, width);
  for (std::size_t j = 0; j < width; ++j) {
    if (eigen.values[j] <= eigen.values[0] * kBasisNoise || eigen.values[j] <= 0) continue;
    const double length = std::sqrt(eigen.values[j]);
    for (std::size_t i = 0; i < width; ++i)
      out.at(i, j) = scales[i] * eigen.vectors.at(i, j) / length;
  }
  return out;
}

/// The power of two that brings `norm` into [0.5, 1); 1 for 0.
double scale_for(double norm) {
  int exponent = 0;
  if (norm > 0 && std::isfinite(norm)) std::frexp(norm, &exponent);
  return std::ldexp(1.0, -exponent);
}

}  // namespace

std::size_t panel_width(std::size_t columns) {
  return (columns + kPanelLanes - 1) / kPanelLanes * kPanelLanes;
}

Panel random_panel(std::size_t rows, std::size_t columns, std::uint64_t seed) {
  Panel out(rows, panel_width(columns));
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < columns; ++j)
      out.values[i * out.width + j] = random_element(seed, i, j);
  return out;
}

double random_share(std::uint64_t seed, std::uint64_t element) {
  // The seed goes through the mixer first: neighbouring ones must not be neighbouring streams.
  const std::uint64_t bits = mixed(mixed(seed) + 0x9E3779B97F4A7C15U * (element + 1));
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

Matrix gram(const Panel& panel) {
  Matrix out(panel.width, panel.width);
  const StridedFloats transposed{panel.values.data(), panel.width, panel.rows, 1, panel.width};
  add_panel_product(transposed, panel.values.data(), panel.width, panel.width, out.values.data(),
                    panel.width);
  return out;
}

Matrix times(const Panel& panel, const Matrix& matrix) {
  Matrix out(panel.rows, matrix.columns);
  const StridedFloats left{panel.values.data(), panel.rows, panel.width, panel.width, 1};
  add_panel_product(left, matrix.values.data(), matrix.columns, matrix.columns, out.values.data(),
                    matrix.columns);
  return out;
}

Panel scaled_panel(const Matrix& matrix) {
  std::vector<double> scales(matrix.columns);
  for (std::size_t i = 0; i < matrix.rows; ++i)
    for (std::size_t j = 0; j < matrix.columns; ++j)
      scales[j] = std::max(scales[j], std::fabs(matrix.at(i, j)));
  // The largest element first: squares of very small or large ones would leave the range.
  std::vector<double> squares(matrix.columns);
  for (double& scale : scales) scale = scale_for(scale);
  for (std::size_t i = 0; i < matrix.rows; ++i)
    for (std::size_t j = 0; j < matrix.columns; ++j) {
      const double value = matrix.at(i, j) * scales[j];
      squares[j] += value * value;
    }
  for (std::size_t j = 0; j < matrix.columns; ++j) scales[j] *= scale_for(std::sqrt(squares[j]));
  Panel out(matrix.rows, matrix.columns);
  for (std::size_t i = 0; i < matrix.rows; ++i)
    for (std::size_t j = 0; j < matrix.columns; ++j)
      out.values[i * out.width + j] = static_cast<float>(matrix.at(i, j) * scales[j]);
  return out;
}

Panel rounded_panel(const Matrix& matrix) {
  Panel out(matrix.rows, matrix.columns);
  for (std::size_t i = 0; i < out.values.size(); ++i)
    out.values[i] = static_cast<float>(matrix.values[i]);
  return out;
}

Basis orthonormal_basis(const Matrix& matrix) {
  Basis out{scaled_panel(matrix), 0};
  for (int pass = 0; pass < kBasisPassesMax; ++pass) {
    const Matrix squares = gram(out.panel);
    out.deviation = deviation_of(squares);
    if (pass > 0 && out.deviation <= kBasisDeviationMax) break;
    out.panel = rounded_panel(times(out.panel, whitening(squares)));
  }
  out.deviation = deviation_of(gram(out.panel));
  return out;
}

}  // namespace kilter::ops
