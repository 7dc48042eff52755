// Two factors of a matrix as an adapter stores them.
#pragma once

#include <vector>

#include "kilter/adapter_factors.h"

#include "base/raw_bytes.h"
#include "ops/factors/panel.h"

namespace kilter::ops {

/// up · down, of numbers that the dtype they are written in has.
struct FactorPair {
  std::size_t rows = 0, columns = 0, rank = 0;
  Panel up;    ///< [rows][panel_width(rank)]
  Panel down;  ///< [panel_width(rank)][panel_width(columns)]

  double norm() const;  ///< of the product, Frobenius
};

/// The first `rank` directions; where there are fewer values, columns of zeros.
FactorPair make_factors(const Matrix& left, const std::vector<double>& values, const Matrix& right,
                        std::size_t rank, FactorSplit split, DType dtype);

/// Packed elements of `dtype`: `up` as [rows][rank], or the other way round.
RawBytes up_bytes(const FactorPair& pair, DType dtype, bool transposed);
/// `down` as [rank][columns], or the other way round.
RawBytes down_bytes(const FactorPair& pair, DType dtype, bool transposed);

/// How many of `values` (descending) the rule keeps; `squares` is the whole's |.|².
std::size_t rank_by_rule(const RankRule& rule, const std::vector<double>& values, double squares);

/// Dtypes that factors are written in: their numbers are numbers of binary32.
bool is_factor_dtype(DType dtype);

/// Errors: kInvalidArgument for shares outside (0, 1], and for a dtype no factor is written in.
Status check_factor_options(const FactorOptions& options);

}  // namespace kilter::ops
