// The numbers in a checkpoint as people read them.
#pragma once

#include <string>
#include <string_view>

#include "kilter/stats.h"

#include "cli/command.h"

namespace kilter::cli {

/// What stands out first: NaN and infinities, dead rows, outlier channels, then by kurtosis.
inline constexpr std::string_view kStatsSorts = "notable name file size deviation kurtosis largest";

struct StatsView {
  std::string sort = "notable";
  bool all = false;  ///< every tensor, not only the first ones
};

/// A table with a small histogram for each tensor, as wide as the terminal, and the total.
void print_checkpoint_stats(const CheckpointStats& stats, const Terminal& terminal,
                            const StatsView& view);

/// "12 NaN, 3 dead rows, 1 outlier column: 77"; empty where nothing stands out.
std::string stats_notes(const TensorStats& row);
/// Positions in `stats.tensors`, in that order.
std::vector<std::size_t> sorted_stats(const CheckpointStats& stats, std::string_view sort);

}  // namespace kilter::cli
