// The commits of a store as a graph, and the ways to name one.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "store/fossils.h"
#include "store/store.h"

namespace kilter::store {

/// A member of a commit's metadata. Numbers keep their kind; arrays and objects their JSON text.
using MetaValue = std::variant<std::nullptr_t, bool, std::int64_t, double, std::string>;

struct CommitSummary {
  Digest digest{};
  Digest tree{};
  std::vector<Digest> parents;
  std::int64_t time_unix_ns = 0;
  std::string author;
  std::string message;
  std::vector<std::pair<std::string, MetaValue>> metadata;  ///< by key
  bool retired = false;  ///< its data was given up; the record stays

  const MetaValue* find(std::string_view key) const;
  /// nullopt if there is no such key or its value is no number.
  std::optional<double> number(std::string_view key) const;
};

/// A snapshot of the history. Commits are numbered by time.
class History {
 public:
  /// With a selector, all that is needed to resolve() it and no more, which is faster: of metadata
  /// the numbers whose keys occur in it, no trees, authors or messages.
  static Result<History> load(Store& store,
                              std::optional<std::string_view> selector = std::nullopt);

  const std::vector<CommitSummary>& commits() const { return commits_; }
  const std::vector<Ref>& refs() const { return refs_; }
  std::optional<std::size_t> find(const Digest& digest) const;

  /// The commit an address names behind its '@': a branch, a tag, the first digits (at least 4) of
  /// a digest, step:N, best:KEY (lowest) or best:-KEY (highest), time:WHEN (the last one not after
  /// it), each followed by ~N (that many kept commits back) if wanted. Empty: the tip of the
  /// default branch. step:, best: and time: look at all branches, or at one: "main:step:1200".
  /// Errors: kNotFound with what there is; kInvalidArgument for a digest of several commits.
  Result<std::size_t> resolve(std::string_view selector) const;
  /// "main" if there is one, else the only branch. Errors: kNotFound, kInvalidArgument.
  Result<std::string> default_branch() const;

  /// The commit and everything before it, newest first; all tips' if `tip` is not given.
  std::vector<std::size_t> ancestry(std::optional<std::size_t> tip) const;
  std::optional<std::size_t> tip(RefKind kind, std::string_view name) const;
  /// Names of references at this commit: "main", "tag v1".
  std::vector<std::string> names_at(std::size_t commit) const;

 private:
  Result<std::size_t> resolve_plain(std::string_view selector) const;
  Result<std::size_t> resolve_search(std::string_view selector,
                                     const std::vector<std::size_t>& among) const;
  Result<std::size_t> back(std::size_t commit, std::uint64_t count) const;

  std::vector<CommitSummary> commits_;
  void number_commits();

  std::vector<std::uint32_t> slots_;  // a commit's number plus one, by the first bytes of its name
  std::vector<Ref> refs_;
};

/// "1200", "1.93", "true", the text itself.
std::string meta_text(const MetaValue& value);

}  // namespace kilter::store
