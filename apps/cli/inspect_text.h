// An inspection as people read it.
#pragma once

#include <optional>
#include <string>

#include "kilter/inspect.h"

#include "cli/command.h"
#include "store/store.h"

namespace kilter::cli {

/// The commit whose files are shown.
struct InspectedCommit {
  store::Digest digest{};
  store::Commit content;
};

struct InspectView {
  std::string tensor_glob;  ///< empty: no list
  bool tree = false;
  bool evidence = false;
  std::optional<InspectedCommit> commit;  ///< where the address lies in a store
};

void print_inspect(const InspectReport& report, const InspectView& view, const Terminal& terminal);

/// The tree as indented lines, bounded in depth, width and length.
void print_state(const StateTree& tree, const TensorIndex& index, const Terminal& terminal);

}  // namespace kilter::cli
