// An inspection as people read it.
#pragma once

#include <string>

#include "kilter/inspect.h"

#include "cli/command.h"

namespace kilter::cli {

struct InspectView {
  std::string tensor_glob;  ///< empty: no list
  bool tree = false;
  bool evidence = false;
};

void print_inspect(const InspectReport& report, const InspectView& view, const Terminal& terminal);

/// The tree as indented lines, bounded in depth, width and length.
void print_state(const StateTree& tree, const TensorIndex& index, const Terminal& terminal);

}  // namespace kilter::cli
