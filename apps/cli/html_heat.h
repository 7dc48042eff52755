// A table of layers and parts, coloured by a number.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kilter::cli {

/// What one cell holds; rows and columns appear in the order they are first added.
class HeatMap {
 public:
  struct Cell {
    double value = 0;     ///< what is shown and coloured, on a scale of logarithms; 0 stays cold
    std::string tooltip;  ///< plain text
    bool marked = false;  ///< an outline: something is wrong here
  };
  void add(std::string_view row, std::string_view column, Cell cell);
  std::string html() const;

 private:
  std::vector<std::string> rows_, columns_;
  std::vector<std::pair<std::pair<std::size_t, std::size_t>, Cell>> cells_;
};

/// The order in which parts of a layer stand beside each other.
std::size_t part_order(std::string_view part);

}  // namespace kilter::cli
