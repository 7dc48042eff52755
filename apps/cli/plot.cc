#include "cli/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace kilter::cli {
namespace {

constexpr int kPlotLabelColumns = 10;

struct Range {
  double low = 0, high = 0;
  double at(double value) const { return high > low ? (value - low) / (high - low) : 0.5; }
};

/// A grid of dots, 2 x 4 in each character.
class Dots {
 public:
  Dots(int columns, int rows)
      : columns_(columns), rows_(rows), cells_(static_cast<std::size_t>(columns * rows), 0) {}
  int width() const { return columns_ * 2; }
  int height() const { return rows_ * 4; }

  void set(int x, int y) {
    // The bits of U+2800: left column 0 1 2 6, right column 3 4 5 7, from the top.
    static constexpr std::uint8_t kBits[4][2] = {
        {0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    if (x < 0 || y < 0 || x >= width() || y >= height()) return;
    cells_[static_cast<std::size_t>(y / 4 * columns_ + x / 2)] |= kBits[y % 4][x % 2];
  }
  void line(int x0, int y0, int x1, int y1) {
    const int steps = std::max({std::abs(x1 - x0), std::abs(y1 - y0), 1});
    for (int i = 0; i <= steps; ++i) set(x0 + (x1 - x0) * i / steps, y0 + (y1 - y0) * i / steps);
  }
  std::string row(int number) const {
    std::string text;
    for (int column = 0; column < columns_; ++column) {
      const std::uint8_t bits = cells_[static_cast<std::size_t>(number * columns_ + column)];
      if (bits == 0) {
        text += ' ';
        continue;
      }
      text += '\xe2';
      text += static_cast<char>(0xa0 | bits >> 6);
      text += static_cast<char>(0x80 | (bits & 0x3f));
    }
    while (text.ends_with(' ')) text.pop_back();
    return text;
  }

 private:
  int columns_, rows_;
  std::vector<std::uint8_t> cells_;
};

Range range_of(const std::vector<std::pair<double, double>>& points, bool y) {
  Range range{INFINITY, -INFINITY};
  for (const auto& point : points) {
    const double value = y ? point.second : point.first;
    range.low = std::min(range.low, value);
    range.high = std::max(range.high, value);
  }
  return range;
}

}  // namespace

std::string plot_curve(const std::vector<std::pair<double, double>>& all,
                       const PlotOptions& options) {
  std::vector<std::pair<double, double>> points;
  for (const auto& point : all)
    if (std::isfinite(point.first) && std::isfinite(point.second)) points.push_back(point);
  if (points.size() < 2) return {};
  std::ranges::stable_sort(points, {}, [](const auto& p) { return p.first; });
  const Range xs = range_of(points, false);
  const Range ys = range_of(points, true);
  Dots dots(std::clamp(options.width_columns - kPlotLabelColumns - 2, 20, 200),
            options.height_rows);
  const auto place = [&](const std::pair<double, double>& p) {
    return std::pair(static_cast<int>(std::lround(xs.at(p.first) * (dots.width() - 1))),
                     static_cast<int>(std::lround((1 - ys.at(p.second)) * (dots.height() - 1))));
  };
  for (std::size_t i = 1; i < points.size(); ++i) {
    const auto [x0, y0] = place(points[i - 1]);
    const auto [x1, y1] = place(points[i]);
    dots.line(x0, y0, x1, y1);
  }
  std::string out = fmt::format("{:>{}}\n", options.y_name, kPlotLabelColumns);
  for (int row = 0; row < options.height_rows; ++row) {
    const bool top = row == 0;
    const bool bottom = row + 1 == options.height_rows;
    const std::string label = top      ? fmt::format("{:.4g}", ys.high)
                              : bottom ? fmt::format("{:.4g}", ys.low)
                                       : std::string();
    out += fmt::format("{:>{}} ┤{}\n", label, kPlotLabelColumns, dots.row(row));
  }
  const std::string left = fmt::format("{:g}", xs.low);
  const std::string right = fmt::format("{:g} {}", xs.high, options.x_name);
  const int gap = dots.width() / 2 - static_cast<int>(left.size());
  out += fmt::format("{:{}}  {}{:>{}}\n", "", kPlotLabelColumns, left, right, std::max(gap, 1));
  return out;
}

}  // namespace kilter::cli
