// Which checkpoints stay. Retired ones keep their record; their data goes at the next collect.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "store/history/history.h"

namespace kilter::store {

/// What is kept is whatever any rule keeps; tips of branches always.
struct RetainRules {
  std::optional<std::uint64_t> last;   ///< the newest N of each branch
  std::optional<std::uint64_t> every;  ///< steps that are multiples of N
  struct Best {
    std::uint64_t count = 1;
    std::string key;
    bool highest = false;
  };
  std::vector<Best> best;
  bool tagged = false;
};

/// "2:loss", "loss", "3:-accuracy" (the highest). Errors: kInvalidArgument.
Result<RetainRules::Best> parse_best(const std::string& text);

struct RetainDecision {
  std::vector<std::size_t> kept;     ///< newest first
  std::vector<std::size_t> retired;  ///< newest first; were not retired before
  std::vector<std::string> reasons;  ///< of `kept`: "tip of main, tag v1, last, every, best loss"
};
/// Errors: kInvalidArgument without any rule.
Result<RetainDecision> decide_retention(const History& history, const RetainRules& rules);

/// Gives up the data of these commits, durable. Tags made meanwhile are respected.
Status retire_commits(Store& store, const std::vector<Digest>& commits);

/// Whether the data of this one commit may be given up. Errors: kInvalidArgument with the branches
/// and tags that point to it.
Status check_removable(const History& history, std::size_t commit);

}  // namespace kilter::store
