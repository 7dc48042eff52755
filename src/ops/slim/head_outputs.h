// Where attention heads come together.
#pragma once

#include <span>
#include <string_view>

namespace kilter::ops {

struct HeadOutputRow {
  std::string_view glob;
  bool transposed = false;  ///< [in, out]: heads are rows
};
std::span<const HeadOutputRow> head_output_table();

}  // namespace kilter::ops
