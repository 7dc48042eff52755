// Factorizations of matrices that fit the cache, and of the thin ones beside them. Eigen is behind
// this file alone.
//
// Same input, same bits, on every processor of one instruction-set family: Eigen is compiled for
// the baseline, its block sizes are set, and nothing is fused.
#pragma once

#include <cstddef>
#include <vector>

namespace kilter::ops {

/// Row-major, binary64.
struct Matrix {
  std::size_t rows = 0, columns = 0;
  std::vector<double> values;

  Matrix() = default;
  Matrix(std::size_t r, std::size_t c) : rows(r), columns(c), values(r * c) {}
  double& at(std::size_t i, std::size_t j) { return values[i * columns + j]; }
  double at(std::size_t i, std::size_t j) const { return values[i * columns + j]; }
};

/// matrix = vectors · diag(values) · vectorsᵀ, values descending. Only the lower triangle of the
/// square `matrix` is read.
struct SymmetricEigen {
  std::vector<double> values;
  Matrix vectors;  ///< one a column
};
SymmetricEigen symmetric_eigen(const Matrix& matrix);

/// left · diag(values) · rightᵀ, values descending and not negative; columns orthonormal where
/// their value is not 0.
struct ThinSvd {
  std::vector<double> values;
  Matrix left;   ///< [rows][count]
  Matrix right;  ///< [columns][count]
};

/// Of up · downᵀ, from the factors alone: QR of both, then the SVD of the small core.
/// `up` is [m][r], `down` [n][r].
ThinSvd svd_of_product(const Matrix& up, const Matrix& down);

/// |up · downᵀ|, Frobenius, by the same way: small norms of products of large factors come out
/// right.
double norm_of_product(const Matrix& up, const Matrix& down);

}  // namespace kilter::ops
