#include "cli/graph.h"

#include <algorithm>

namespace kilter::cli {
namespace {

using Lanes = std::vector<store::Digest>;

std::string lane_text(std::size_t count, std::size_t marked, const char* mark) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) {
    text += i == marked ? mark : "|";
    text += ' ';
  }
  return text;
}

/// Lanes that wait for the same commit join the leftmost of them.
void join_lanes(Lanes& lanes, const store::Digest& digest, std::size_t lane,
                std::vector<std::string>& after) {
  for (std::size_t i = lanes.size(); i-- > lane + 1;) {
    if (lanes[i] != digest) continue;
    std::string text;
    for (std::size_t k = 0; k < lanes.size(); ++k) {
      text += k < i ? "|" : k == i ? "" : " |";
      text += k + 1 == i ? "/" : k < i ? " " : "";
    }
    lanes.erase(lanes.begin() + static_cast<std::ptrdiff_t>(i));
    after.push_back(std::move(text));
  }
}

}  // namespace

std::vector<GraphRow> draw_graph(const store::History& history,
                                 const std::vector<std::size_t>& commits) {
  std::vector<GraphRow> rows;
  Lanes lanes;  // what each lane waits for
  for (const std::size_t number : commits) {
    const store::CommitSummary& commit = history.commits()[number];
    GraphRow row;
    auto found = std::ranges::find(lanes, commit.digest);
    if (found == lanes.end()) found = lanes.insert(lanes.end(), commit.digest);
    const auto lane = static_cast<std::size_t>(found - lanes.begin());
    // Children of one commit came down several lanes: they meet above it.
    if (!rows.empty()) join_lanes(lanes, commit.digest, lane, rows.back().after);
    row.prefix = lane_text(lanes.size(), lane, commit.retired ? "o" : "*");
    if (commit.parents.empty()) {
      lanes.erase(lanes.begin() + static_cast<std::ptrdiff_t>(lane));
    } else {
      lanes[lane] = commit.parents.front();
      for (std::size_t i = 1; i < commit.parents.size(); ++i) lanes.push_back(commit.parents[i]);
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace kilter::cli
