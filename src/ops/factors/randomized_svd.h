// The strongest directions of a large matrix, from a few passes over its rows.
//
// Source: Halko, Martinsson, Tropp, Finding Structure with Randomness (2011), algorithms 4.4 and
// 5.1.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "ops/factors/matrix_rows.h"
#include "ops/factors/panel.h"

namespace kilter::ops {

struct SvdOptions {
  std::size_t rank = 32;              ///< wanted; with `energy`: at most
  std::optional<double> energy = {};  ///< as many as carry this share of the squares, in (0, 1]
  std::size_t oversampling = 12;
  int iterations = 2;      ///< of the power method
  std::uint64_t seed = 0;  ///< svd_seed()
};

/// matrix ≈ left · diag(values) · rightᵀ. Values are those of the matrix projected on a space of
/// `values.size()` dimensions: each is at most the true one.
struct LowRank {
  std::size_t rows = 0, columns = 0;
  std::size_t rank = 0;        ///< of the directions, how many were asked for or carry the energy
  std::vector<double> values;  ///< descending; more than `rank`
  Matrix left;                 ///< [rows][values.size()], orthonormal to binary32's rounding
  Matrix right;                ///< [columns][values.size()]
  double squares = 0;          ///< |matrix|², Frobenius
  /// What lies outside of the space: |matrix - Q Qᵀ matrix| is certainly at most this. It is
  /// sqrt(|matrix|² - |Qᵀ matrix|²) plus what Q deviates from orthonormal (about 3e-4 |matrix|).
  double residual_max = 0;

  /// Of the squares, the share of the first `count` directions.
  double energy(std::size_t count) const;
};

/// Directions differ from name to name, so that no two tensors share a sketch.
std::uint64_t svd_seed(std::string_view tensor, std::uint64_t seed);

/// Passes over the matrix 2 * iterations + 2 times; with `energy` again where the first guess is
/// too small. Takes about (rows + columns) * 20 * (rank + oversampling) bytes beside it. The same
/// bits for any size of blocks, on any thread and processor.
///
/// Errors: kMalformed where an element is NaN or infinite; as the matrix and the context report.
Result<LowRank> randomized_svd(RowBlocks& matrix, const SvdOptions& options,
                               const RunContext& context);

/// |matrix - up · down|, Frobenius, measured element by element in one pass. `up` [rows][k],
/// `down` [k][columns, up to panel_width()].
Result<double> product_error(RowBlocks& matrix, const Panel& up, const Panel& down,
                             const RunContext& context);

}  // namespace kilter::ops
