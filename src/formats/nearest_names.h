// Which tensors a mistyped name may have meant.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kilter/tensor_index.h"

namespace kilter::formats {

/// At most `count_max` names, quoted and escaped, nearest first: those that end with `name` after a
/// '.', or differ in few characters. Work is bounded whatever the number and length of names.
std::vector<std::string> nearest_names(const std::vector<TensorInfo>& tensors,
                                       std::string_view name, std::size_t count_max);

/// Levenshtein's distance, or `limit` + 1 if it is greater.
std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit);

}  // namespace kilter::formats
