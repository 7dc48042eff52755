#include "cli/html_heat.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "cli/html_page.h"

namespace kilter::cli {
namespace {

constexpr std::string_view kPartOrder[] = {"embed",   "norm",    "qkv",  "q",    "k",    "v",
                                           "o",       "gate_up", "gate", "up",   "down", "router",
                                           "experts", "conv",    "time", "lora", "head", "other"};

std::size_t place_of(std::vector<std::string>& names, std::string_view name) {
  const auto found = std::ranges::find(names, name);
  if (found != names.end()) return static_cast<std::size_t>(found - names.begin());
  names.emplace_back(name);
  return names.size() - 1;
}

/// From 0 (cold) to 100: the smallest number above 0 is a little warm, the largest is hot.
int heat_of(double value, double smallest, double largest) {
  if (!(value > 0)) return 0;
  const double range = std::log(largest) - std::log(smallest);
  const double share = range > 0 ? (std::log(value) - std::log(smallest)) / range : 1;
  return static_cast<int>(std::lround(10 + 75 * share));
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Text with every number as its digits' count and the digits: "layers.2" before "layers.10". What
/// has no number comes first.
std::string natural_key(std::string_view text) {
  std::string out(1, std::ranges::any_of(text, is_digit) ? 'b' : 'a');
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at;
    while (end < text.size() && is_digit(text[end])) ++end;
    if (end > at) out += static_cast<char>(std::min<std::size_t>(end - at, 255));
    out += text.substr(at, std::max<std::size_t>(end - at, 1));
    at = std::max(end, at + 1);
  }
  return out;
}

}  // namespace

std::size_t part_order(std::string_view part) {
  return static_cast<std::size_t>(std::ranges::find(kPartOrder, part) - std::begin(kPartOrder));
}

void HeatMap::add(std::string_view row, std::string_view column, Cell cell) {
  cells_.push_back({{place_of(rows_, row), place_of(columns_, column)}, std::move(cell)});
}

std::string HeatMap::html() const {
  double smallest = std::numeric_limits<double>::max(), largest = 0;
  std::map<std::pair<std::size_t, std::size_t>, const Cell*> at;
  for (const auto& [place, cell] : cells_) {
    at[place] = &cell;
    if (!(cell.value > 0) || !std::isfinite(cell.value)) continue;
    smallest = std::min(smallest, cell.value);
    largest = std::max(largest, cell.value);
  }
  std::vector<std::size_t> order(columns_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return part_order(columns_[i]); });
  std::string out = "<div class=\"scroll\"><table class=\"heat\">\n<thead><tr><th></th>";
  for (const std::size_t column : order)
    out += "<th class=\"n\">" + html_text(columns_[column]) + "</th>";
  out += "</tr></thead>\n<tbody>\n";
  std::vector<std::size_t> rows(rows_.size());
  std::iota(rows.begin(), rows.end(), std::size_t{0});
  std::ranges::stable_sort(rows, {}, [&](std::size_t i) { return natural_key(rows_[i]); });
  for (const std::size_t row : rows) {
    out += "<tr><th>" + html_text(rows_[row], 80) + "</th>";
    for (const std::size_t column : order) {
      const auto found = at.find({row, column});
      if (found == at.end()) {
        out += "<td class=\"none\"></td>";
        continue;
      }
      const Cell& cell = *found->second;
      out += fmt::format("<td{} style=\"--v:{}\" title=\"{}\">{}</td>",
                         cell.marked ? " class=\"mark\"" : "",
                         heat_of(std::min(cell.value, largest), smallest, largest),
                         html_text(cell.tooltip), fmt::format("{:.2g}", cell.value));
    }
    out += "</tr>\n";
  }
  return out + "</tbody></table></div>\n";
}

}  // namespace kilter::cli
