#include "ops/factors/factor_pair.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/try.h"
#include "tensor/kernels/float_values.h"
#include "tensor/kernels/panel_product.h"

namespace kilter::ops {
namespace {

/// `values` as `dtype` has them, in binary32: f32, bf16 and f16 are within it.
void round_to_dtype(DType dtype, std::vector<double>& values) {
  RawBytes bytes(values.size() * dtype_row(dtype).bits / 8);
  narrow_floats(dtype, values.data(), values.size(), bytes.data());
  widen_floats(dtype, bytes.data(), values.size(), values.data());
}

double share_of_up(FactorSplit split, double value) {
  switch (split) {
    case FactorSplit::kUp:
      return value;
    case FactorSplit::kDown:
      return 1;
    case FactorSplit::kEven:
      return std::sqrt(value);
  }
  return 1;
}

/// Element (i, j) of a panel's first `rows` x `columns`, as bytes in row-major or column-major
/// order.
RawBytes panel_bytes(const Panel& panel, std::size_t rows, std::size_t columns, DType dtype,
                     bool transposed) {
  std::vector<double> values(rows * columns);
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < columns; ++j)
      values[transposed ? j * rows + i : i * columns + j] =
          static_cast<double>(panel.values[i * panel.width + j]);
  RawBytes out(values.size() * dtype_row(dtype).bits / 8);
  narrow_floats(dtype, values.data(), values.size(), out.data());
  return out;
}

bool is_share(const std::optional<double>& share) { return !share || (*share > 0 && *share <= 1); }

/// The fewest of `parts` whose sum is `share` of `whole`; all if none are.
std::size_t fewest(const std::vector<double>& parts, double share, double whole) {
  double sum = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (sum >= share * whole) return i;
    sum += parts[i];
  }
  return parts.size();
}

}  // namespace

double FactorPair::norm() const {
  // |up down|² = the sum over both Grams' products, element by element.
  Panel right(columns, up.width);
  for (std::size_t k = 0; k < rank; ++k)
    for (std::size_t j = 0; j < columns; ++j)
      right.values[j * right.width + k] = down.values[k * down.width + j];
  const Matrix a = gram(up), b = gram(right);
  double sum = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i) sum += a.values[i] * b.values[i];
  return std::sqrt(std::max(sum, 0.0));
}

FactorPair make_factors(const Matrix& left, const std::vector<double>& values, const Matrix& right,
                        std::size_t rank, FactorSplit split, DType dtype) {
  FactorPair out;
  out.rows = left.rows;
  out.columns = right.rows;
  out.rank = rank;
  out.up = Panel(left.rows, panel_width(rank));
  out.down = Panel(panel_width(rank), panel_width(right.rows));
  std::vector<double> column;
  for (std::size_t k = 0; k < std::min(rank, values.size()); ++k) {
    const double share = share_of_up(split, values[k]);
    column.assign(left.rows, 0);
    for (std::size_t i = 0; i < left.rows; ++i) column[i] = left.at(i, k) * share;
    round_to_dtype(dtype, column);
    for (std::size_t i = 0; i < left.rows; ++i)
      out.up.values[i * out.up.width + k] = static_cast<float>(column[i]);
    column.assign(right.rows, 0);
    for (std::size_t j = 0; j < right.rows; ++j) column[j] = right.at(j, k) * (values[k] / share);
    round_to_dtype(dtype, column);
    for (std::size_t j = 0; j < right.rows; ++j)
      out.down.values[k * out.down.width + j] = static_cast<float>(column[j]);
  }
  return out;
}

RawBytes up_bytes(const FactorPair& pair, DType dtype, bool transposed) {
  return panel_bytes(pair.up, pair.rows, pair.rank, dtype, transposed);
}

RawBytes down_bytes(const FactorPair& pair, DType dtype, bool transposed) {
  return panel_bytes(pair.down, pair.rank, pair.columns, dtype, transposed);
}

std::size_t rank_by_rule(const RankRule& rule, const std::vector<double>& values, double squares) {
  std::size_t rank = std::min(rule.rank, values.size());
  if (rule.energy) {
    std::vector<double> parts;
    for (const double value : values) parts.push_back(value * value);
    rank = std::min(rank, fewest(parts, *rule.energy, squares));
  }
  if (rule.cumulative) {
    double sum = 0;
    for (const double value : values) sum += value;
    rank = std::min(rank, fewest(values, *rule.cumulative, sum));
  }
  while (rank > 0 && values[rank - 1] <= rule.value_min) --rank;
  if (rule.value_ratio > 0)
    while (rank > 1 && values[rank - 1] < values[0] / rule.value_ratio) --rank;
  return rank;
}

bool is_factor_dtype(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16;
}

Status check_factor_options(const FactorOptions& options) {
  const RankRule& rule = options.rank;
  if (!is_share(rule.energy) || !is_share(rule.cumulative))
    return fail(ErrorCode::kInvalidArgument, "a share is above 0 and at most 1");
  if (!(rule.value_min >= 0) || !(rule.value_ratio == 0 || rule.value_ratio >= 1))
    return fail(ErrorCode::kInvalidArgument,
                "the smallest singular value is not negative, and a ratio of them is at least 1");
  if (!options.dtype || is_factor_dtype(*options.dtype)) return ok();
  return fail(Error(ErrorCode::kInvalidArgument, "factors are not written in this dtype")
                  .wanted("f32, bf16 or f16", std::string(dtype_name(*options.dtype))));
}

}  // namespace kilter::ops
