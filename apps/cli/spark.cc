#include "cli/spark.h"

#include <algorithm>
#include <string_view>

namespace kilter::cli {
namespace {

constexpr std::string_view kSparkBlocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};

}  // namespace

std::string spark_line(const std::vector<std::uint64_t>& counts, std::size_t columns) {
  if (counts.empty() || columns == 0) return {};
  const std::size_t group = (counts.size() + columns - 1) / columns;
  std::vector<double> heights((counts.size() + group - 1) / group);
  for (std::size_t i = 0; i < counts.size(); ++i)
    heights[i / group] += static_cast<double>(counts[i]);
  const double highest = *std::ranges::max_element(heights);
  std::string out;
  for (const double height : heights) {
    const double eighths = highest > 0 ? 8 * height / highest : 0;
    const auto block = static_cast<std::size_t>(eighths + 0.5);
    out += kSparkBlocks[height > 0 ? std::clamp<std::size_t>(block, 1, 8) : 0];
  }
  return out;
}

}  // namespace kilter::cli
