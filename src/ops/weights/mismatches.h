// What does not fit between inputs, kind by kind, so that one message tells all of it.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "kilter/weights.h"

namespace kilter::ops {

class Mismatches {
 public:
  explicit Mismatches(const std::set<Allow>& allow) : allow_(allow) {}

  /// True if it is allowed; else it is noted. `path`: of the input; `what`: "is missing".
  bool allowed(Allow kind, const std::string& path, const std::string& tensor,
               const std::string& what);
  /// Errors: kInvalidArgument with the first of each kind and the options that allow them.
  Status status() const;

 private:
  const std::set<Allow>& allow_;
  std::map<Allow, std::vector<std::string>> rows_;
  std::map<Allow, std::size_t> counts_;
};

}  // namespace kilter::ops
