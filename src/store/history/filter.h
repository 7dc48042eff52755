// Conditions over commits: "loss<2 and step>1000". Source: spec/metadata.md, "Filters".
#pragma once

#include <memory>
#include <string_view>

#include "store/history/history.h"

namespace kilter::store {

/// A parsed condition. Comparisons KEY OP VALUE with < <= > >= = != and ~ (glob), joined by and,
/// or, not and parentheses. Keys are those of the metadata, and author, message, time, digest. A
/// commit without the key satisfies no comparison with it.
class Filter {
 public:
  /// Errors: kInvalidArgument with the place.
  static Result<Filter> parse(std::string_view text);
  bool matches(const CommitSummary& commit) const;

  struct Node;

 private:
  explicit Filter(std::shared_ptr<const Node> root) : root_(std::move(root)) {}
  std::shared_ptr<const Node> root_;
};

}  // namespace kilter::store
