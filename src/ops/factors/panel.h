// Thin matrices of binary32 numbers whose products are summed in binary64.
#pragma once

#include <cstdint>
#include <vector>

#include "ops/factors/kernels/small_matrix.h"

namespace kilter::ops {

/// [rows][width], row-major. Columns beyond what is asked for hold zeros up to a multiple of
/// kPanelLanes.
struct Panel {
  std::size_t rows = 0, width = 0;
  std::vector<float> values;

  Panel() = default;
  Panel(std::size_t r, std::size_t w) : rows(r), width(w), values(r * w) {}
};

std::size_t panel_width(std::size_t columns);

/// Independent numbers of mean 0 in `columns` columns: each the sum of four uniform ones (a sketch
/// needs no Gaussian, only tails that fall as fast), computed with integers alone. Element (i, j)
/// depends on (seed, i, j) and nothing else.
Panel random_panel(std::size_t rows, std::size_t columns, std::uint64_t seed);

/// Uniform in [0, 1), a function of both numbers alone.
double random_share(std::uint64_t seed, std::uint64_t element);

/// panelᵀ · panel.
Matrix gram(const Panel& panel);

/// panel · matrix, in binary64.
Matrix times(const Panel& panel, const Matrix& matrix);

/// As binary32, each column multiplied by a power of two that brings its norm near 1.
Panel scaled_panel(const Matrix& matrix);

/// As binary32.
Panel rounded_panel(const Matrix& matrix);

struct Basis {
  Panel panel;
  double deviation = 0;  ///< |panelᵀ panel - I|, Frobenius, over the columns that are not zero
};

/// Orthonormal columns (to binary32's rounding) with the span of `matrix`'s. Directions a millionth
/// as strong as the strongest, which are rounding, become columns of zeros.
///
/// Source: Stathopoulos and Wu, A Block Orthogonalization Procedure (2002): SVQB, twice where
/// needed.
Basis orthonormal_basis(const Matrix& matrix);

}  // namespace kilter::ops
