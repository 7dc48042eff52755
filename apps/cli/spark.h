// Counts drawn in one line of a terminal.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace kilter::cli {

/// At most `columns` blocks of eighths; neighbours are put together where there are more counts.
/// What is not empty shows at least the lowest block.
std::string spark_line(const std::vector<std::uint64_t>& counts, std::size_t columns);

}  // namespace kilter::cli
