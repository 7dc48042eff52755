// The lines beside a log that show which commit continues which.
#pragma once

#include <string>
#include <vector>

#include "store/history/history.h"

namespace kilter::cli {

/// One prefix ("* | ") for each of these commits, children before parents; `after` holds lines to
/// be printed below it (where branches join).
struct GraphRow {
  std::string prefix;
  std::vector<std::string> after;
};
std::vector<GraphRow> draw_graph(const store::History& history,
                                 const std::vector<std::size_t>& commits);

}  // namespace kilter::cli
