// The few Python literals a .npy header holds.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kilter/error.h"

namespace kilter::npy {

/// The dictionary {'descr': …, 'fortran_order': …, 'shape': …}.
struct HeaderLiteral {
  std::string descr;       ///< a string's content, or the text of a list or tuple
  bool is_string = false;  ///< of `descr`
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
};

/// Exactly the three keys, once each, in any order, then only whitespace.
/// Errors: kMalformed with the offset in `text`.
Result<HeaderLiteral> parse_header_literal(std::string_view text);

}  // namespace kilter::npy
