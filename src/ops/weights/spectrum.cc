#include "ops/weights/spectrum.h"

#include <algorithm>
#include <cmath>

#include "base/try.h"
#include "ops/factors/randomized_svd.h"

namespace kilter::ops {
namespace {

// A direction counts where it stands this far above the strongest that noise would have, and the
// next one lies within this of it. Between the two nothing is said.
constexpr double kSpectrumGap = 1.5, kSpectrumSlack = 1.15;
constexpr double kSpectrumNothing = 1e-6;  // of the strongest, of the squares: rounding
constexpr int kSpectrumIterations = 1;     // less than factors need: only sizes are asked for

/// The largest singular value of white noise with this Frobenius norm. Source: Geman, A Limit
/// Theorem for the Norm of Random Matrices (1980).
double noise_edge(double norm, std::size_t rows, std::size_t columns) {
  return norm *
         (1 / std::sqrt(static_cast<double>(rows)) + 1 / std::sqrt(static_cast<double>(columns)));
}

}  // namespace

std::size_t low_rank_of(const std::vector<double>& values, double squares, std::size_t rows,
                        std::size_t columns) {
  if (values.empty() || squares <= 0) return 0;
  const double nothing = values[0] * kSpectrumNothing;
  double left = squares;
  for (std::size_t r = 0; r < values.size(); ++r) {
    const double edge = noise_edge(std::sqrt(std::max(left, 0.0)), rows - r, columns - r);
    const double noise = std::max(edge, nothing);
    if (r > 0 && values[r] <= noise * kSpectrumSlack)
      return values[r - 1] >= std::max(values[r], noise) * kSpectrumGap ? r : 0;
    left -= values[r] * values[r];
  }
  // The values ended: a rank only if nothing is left but rounding, and the matrix could have more.
  const bool whole = values.size() >= std::min(rows, columns);
  return !whole && left <= squares * kSpectrumNothing ? values.size() : 0;
}

Result<DifferenceSpectrum> difference_spectrum(const TensorMatrix& tuned, const TensorMatrix& base,
                                               const std::string& name,
                                               const SpectrumOptions& options,
                                               const RunContext& context) {
  const auto matrix = difference_rows(tuned, base, name);
  RowBlocks blocks(*matrix, options.keep_bytes_max);
  SvdOptions svd;
  svd.rank = options.count;
  svd.oversampling = 16;
  svd.iterations = kSpectrumIterations;
  svd.seed = svd_seed(name, 0);
  KILTER_ASSIGN(const LowRank low, randomized_svd(blocks, svd, context));
  DifferenceSpectrum out;
  out.rows = low.rows;
  out.columns = low.columns;
  out.norm = std::sqrt(low.squares);
  out.values = low.values;
  out.rank = low_rank_of(low.values, low.squares, low.rows, low.columns);
  out.values.resize(std::min(out.values.size(), options.count));
  for (std::size_t i = 0; i < out.values.size(); ++i) out.energy.push_back(low.energy(i + 1));
  if (out.rank > options.count) out.rank = 0;
  return out;
}

}  // namespace kilter::ops
