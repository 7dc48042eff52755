// A table of layers and parts, coloured by a number.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/layer_part.h"

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

/// Tensors gathered into cells by the layer and part that their names say. `Cell` has add(tensor)
/// and shown(); `counts` says which tensors count.
template <typename Cell, typename Tensors, typename Counts>
std::string layer_heat(const Tensors& tensors, Counts counts) {
  std::vector<std::pair<std::string, std::string>> order;
  std::map<std::pair<std::string, std::string>, Cell> cells;
  for (const auto& tensor : tensors) {
    if (!counts(tensor)) continue;
    const model::LayerPart place = model::layer_part(tensor.name);
    const std::pair key(place.layer, std::string(place.part));
    if (!cells.contains(key)) order.push_back(key);
    cells[key].add(tensor);
  }
  HeatMap map;
  for (const auto& key : order)
    map.add(key.first.empty() ? "outside of layers" : key.first, key.second, cells[key].shown());
  return map.html();
}

}  // namespace kilter::cli
