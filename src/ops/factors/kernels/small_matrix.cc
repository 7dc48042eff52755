#include "ops/factors/kernels/small_matrix.h"

#include <algorithm>

#include <Eigen/Eigenvalues>
#include <Eigen/QR>
#include <Eigen/SVD>

namespace kilter::ops {
namespace {

using EigenMatrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using ColumnMatrix = Eigen::MatrixXd;

// Jacobi's method is the most accurate, and its time grows fastest.
constexpr Eigen::Index kJacobiMax = 96;

/// Eigen asks the processor how to cut products, and their sums' order follows: one answer for all.
void settle_block_sizes() {
  static const bool settled = [] {
    Eigen::setCpuCacheSizes(32 << 10, 512 << 10, 4 << 20);
    return true;
  }();
  static_cast<void>(settled);
}

Eigen::Index index_of(std::size_t value) { return static_cast<Eigen::Index>(value); }

Eigen::Map<const EigenMatrix> view(const Matrix& matrix) {
  return {matrix.values.data(), index_of(matrix.rows), index_of(matrix.columns)};
}

Matrix copy(const ColumnMatrix& from) {
  Matrix out(static_cast<std::size_t>(from.rows()), static_cast<std::size_t>(from.cols()));
  Eigen::Map<EigenMatrix>(out.values.data(), from.rows(), from.cols()) = from;
  return out;
}

/// q [rows][min(rows, columns)] · r = matrix.
struct ThinQr {
  ColumnMatrix q, r;
};

ThinQr thin_qr(const Matrix& matrix) {
  const Eigen::HouseholderQR<ColumnMatrix> qr{ColumnMatrix(view(matrix))};
  const Eigen::Index thin = std::min(qr.matrixQR().rows(), qr.matrixQR().cols());
  ThinQr out;
  out.q = qr.householderQ() * ColumnMatrix::Identity(qr.matrixQR().rows(), thin);
  out.r = qr.matrixQR().topRows(thin).template triangularView<Eigen::Upper>();
  return out;
}

}  // namespace

SymmetricEigen symmetric_eigen(const Matrix& matrix) {
  settle_block_sizes();
  const Eigen::SelfAdjointEigenSolver<ColumnMatrix> solver{ColumnMatrix(view(matrix))};
  SymmetricEigen out;  // Eigen's values ascend
  const auto& values = solver.eigenvalues();
  out.values.assign(values.data(), values.data() + values.size());
  std::ranges::reverse(out.values);
  out.vectors = copy(solver.eigenvectors().rowwise().reverse());
  return out;
}

ThinSvd svd_of_product(const Matrix& up, const Matrix& down) {
  settle_block_sizes();
  const ThinQr left = thin_qr(up), right = thin_qr(down);
  const ColumnMatrix core = left.r * right.r.transpose();
  ThinSvd out;
  const auto take = [&](const auto& svd) {
    const auto& values = svd.singularValues();
    out.values.assign(values.data(), values.data() + values.size());
    out.left = copy(left.q * svd.matrixU());
    out.right = copy(right.q * svd.matrixV());
  };
  constexpr unsigned kThin = Eigen::ComputeThinU | Eigen::ComputeThinV;
  if (std::max(core.rows(), core.cols()) <= kJacobiMax)
    take(Eigen::JacobiSVD<ColumnMatrix>(core, kThin));
  else
    take(Eigen::BDCSVD<ColumnMatrix>(core, kThin));
  return out;
}

double norm_of_product(const Matrix& up, const Matrix& down) {
  settle_block_sizes();
  return (thin_qr(up).r * thin_qr(down).r.transpose()).norm();
}

}  // namespace kilter::ops
