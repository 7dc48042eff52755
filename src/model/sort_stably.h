// A stable sort. std::stable_sort of GCC 12's library warns under Clang 19 (get_temporary_buffer).
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>
#include <vector>

namespace kilter::model {

/// Sorts by `less`; equal items keep their order.
template <typename Item, typename Less>
void sort_stably(std::vector<Item>* items, Less less) {
  std::vector<std::size_t> order(items->size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    if (less((*items)[a], (*items)[b])) return true;
    return !less((*items)[b], (*items)[a]) && a < b;
  });
  std::vector<Item> sorted;
  sorted.reserve(items->size());
  for (const std::size_t at : order) sorted.push_back(std::move((*items)[at]));
  *items = std::move(sorted);
}

}  // namespace kilter::model
