// Sums of squares of a tensor's rows and columns, put together from runs of its elements.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kilter/stats.h"

namespace kilter::ops {

/// A tensor as rows (along its first dimension) and columns (along its second), with `inner`
/// elements in each cell: the rest of the dimensions.
struct ChannelShape {
  std::uint64_t rows = 0, columns = 0, inner = 0;
};

inline constexpr std::uint64_t kChannelsMax = 1U << 19;

/// Sums for a run of elements [first, first + count) of a tensor.
class ChannelSquares {
 public:
  ChannelSquares() = default;
  /// Rows or columns of which there are too many are left out.
  ChannelSquares(const ChannelShape& shape, std::uint64_t first, std::uint64_t count);

  /// The next elements. What is not finite must have been replaced by something small.
  void add(std::span<const double> values);
  /// Adds a run of the same tensor that lies within this one.
  void add(const ChannelSquares& part);

  std::optional<ChannelStats> rows(double outlier_deviations) const;
  std::optional<ChannelStats> columns(double outlier_deviations) const;

 private:
  void add_within_row(std::span<const double> values, std::uint64_t in_row);

  ChannelShape shape_;
  std::uint64_t at_ = 0, first_row_ = 0;
  std::vector<double> rows_, columns_;  // empty: left out
};

}  // namespace kilter::ops
