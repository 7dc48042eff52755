// What checkpoints carry that a model does not need to run.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace kilter::ops {

struct StripTensorRow {
  std::string_view glob;
  std::size_t dimensions = 0;  ///< 0 = any
  std::string_view why;
};
std::span<const StripTensorRow> strip_tensor_table();

struct StripFileRow {
  std::string_view glob;
  std::string_view why;
};
/// Files beside the weights.
std::span<const StripFileRow> strip_file_table();

}  // namespace kilter::ops
