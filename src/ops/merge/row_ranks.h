// Chances by the rank of a magnitude within its row.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "ops/merge/merge_kernel.h"

namespace kilter::ops {

/// The smallest of a row of n has the chance `low`, the largest `high`, those between in steps as
/// equal as their ranks; a row of one has `low`.
struct RankedChance {
  double low = 1, high = 1;
};

/// Rows longer than this are refused: a row is ranked as a whole.
inline constexpr std::uint64_t kRankedRowElementsMax = 1U << 24;

/// Elements of a row: the last extent; the whole of a tensor without dimensions.
std::uint64_t row_elements(const TensorMerge& merge);

/// `limits` [keys.size()] of one row. Of equal keys the one with the lower index ranks higher.
void rank_row(std::span<const std::uint32_t> keys, const RankedChance& chance,
              std::span<std::uint32_t> limits);

/// The limits of a tile's elements for each term of whom `chances` says something; rows that lie
/// only partly in the tile are read again from their source.
class RowRanks {
 public:
  RowRanks(const TensorMerge& merge, std::vector<std::optional<RankedChance>> chances);
  Result<TileBounds> of_tile(const KernelTile& tile, std::uint64_t first, std::size_t count) const;

 private:
  Status rank(std::size_t term, const KernelTile& tile, std::uint64_t first, std::size_t count,
              std::vector<std::uint32_t>& out) const;
  Result<std::vector<double>> widened(const MergeTerm& input, Bytes in_tile, std::uint64_t first,
                                      std::size_t count, std::uint64_t row) const;

  MergeTerm base_;
  std::vector<MergeTerm> terms_;
  std::uint64_t row_;
  std::vector<std::optional<RankedChance>> chances_;
};

}  // namespace kilter::ops
