// What the difference of two tensors looks like from its singular values: a full fine-tune, or an
// adapter that was merged?
#pragma once

#include <cstdint>
#include <vector>

#include "kilter/progress.h"

#include "ops/factors/matrix_rows.h"

namespace kilter::ops {

struct SpectrumOptions {
  std::size_t count = 64;  ///< singular values wanted; a rank above it is not seen
  /// Differences up to this size (4 bytes an element) are held in memory; others are read 4 times.
  std::uint64_t keep_bytes_max = 64U << 20;
};

struct DifferenceSpectrum {
  std::size_t rows = 0, columns = 0;
  double norm = 0;             ///< of the difference, Frobenius
  std::vector<double> values;  ///< its strongest singular values, descending; estimates from below
  std::vector<double> energy;  ///< [i]: share of norm² that the first i + 1 carry
  /// The difference is this many directions and, beside them, nothing or what looks like white
  /// noise (as rounding leaves it); 0 where it is not so, and where nothing differs.
  std::size_t rank = 0;
};

/// Of `tuned` minus `base`, tensors of one shape with two or more dimensions (those behind the
/// first are taken together) and dtypes of has_float_values(). From any thread; the same bits on
/// all. Costs about 12 * rows * columns * (count + 16) operations.
///
/// Errors: kMalformed for NaN and infinities; as the sources and the context report.
Result<DifferenceSpectrum> difference_spectrum(const TensorMatrix& tuned, const TensorMatrix& base,
                                               const std::string& name,
                                               const SpectrumOptions& options,
                                               const RunContext& context);

/// The rank that `values` (descending, some of a rows x columns matrix) speak of, as above.
/// `squares` is the matrix's |.|², of which they carry a part.
std::size_t low_rank_of(const std::vector<double>& values, double squares, std::size_t rows,
                        std::size_t columns);

}  // namespace kilter::ops
