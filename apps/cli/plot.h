// A curve drawn in a terminal.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace kilter::cli {

struct PlotOptions {
  int width_columns = 80;
  int height_rows = 12;
  std::string x_name;
  std::string y_name;
};

/// Points (x, y) by x, drawn with Braille dots: two across and four down in each character. NaN and
/// infinite values are left out. Empty where there are no two points.
std::string plot_curve(const std::vector<std::pair<double, double>>& points,
                       const PlotOptions& options);

}  // namespace kilter::cli
