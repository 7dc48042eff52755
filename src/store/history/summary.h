// Reads what a log needs from a commit's JSON, ten thousand at a time.
#pragma once

#include <memory>
#include <string_view>

#include "store/history/history.h"

namespace kilter::store {

/// Reuses its memory from commit to commit. Not for several threads at once.
class SummaryReader {
 public:
  SummaryReader();
  ~SummaryReader();
  /// Errors: kMalformed.
  Result<CommitSummary> read(const Digest& digest, std::int64_t time_unix_ns,
                             std::string_view text);
  /// Only what resolving the selector needs (see History::load()), and of the rest not even whether
  /// it is JSON. Errors: kMalformed.
  Result<CommitSummary> read_for(std::string_view selector, const Digest& digest,
                                 std::int64_t time_unix_ns, std::string_view text);

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

}  // namespace kilter::store
