// The parts of judging a pickle; see scan.h for what callers use.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "kilter/finding.h"

#include "formats/pickle/rules.h"
#include "formats/pickle/scan.h"

namespace kilter::pickle {

/// Everything the tables say about one global.
struct KnownName {
  std::string qualified;
  std::string module;
  std::optional<SafeRule> safe;
  const DangerRule* danger = nullptr;
  bool weights_only = false;
};

/// Looks globals up, once each.
class NameBook {
 public:
  explicit NameBook(const Graph& graph) : graph_(graph) {}
  const Graph& graph() const { return graph_; }
  const KnownName& look_up(NodeId global);
  /// The rule for `node` if it is a global that is known to be harmless.
  std::optional<SafeRule> safe_rule(NodeId node);
  bool is_global(NodeId node) const {
    return graph_[node].kind == NodeKind::kGlobal && graph_[node].items.empty();
  }

 private:
  const Graph& graph_;
  std::unordered_map<std::string, KnownName> known_;
};

/// Why the call `node` of a known harmless name is not of the shape its rule allows; empty if it
/// is.
std::string unexpected_shape(NameBook* names, NodeId node, const SafeRule& rule);

/// True if the plain containers below `root` would grow beyond any reason when written out: lists
/// in lists by reference ("billion laughs").
bool expands_without_bound(const Graph& graph, NodeId root);

/// Findings of one file: many alike become one with a count.
class FindingBook {
 public:
  FindingBook(const ScanContext& context, std::vector<Finding>* out)
      : context_(context), out_(*out) {}
  ~FindingBook();
  FindingBook(const FindingBook&) = delete;
  FindingBook& operator=(const FindingBook&) = delete;

  /// `subject` is what makes findings alike, beside the rule: a name.
  Finding* add(const char* rule, Severity severity, std::uint64_t offset_bytes,
               const std::string& subject, std::string message);

 private:
  struct Group {
    std::size_t first = 0;  // in out_
    std::uint64_t count = 0;
  };
  const ScanContext& context_;
  std::vector<Finding>& out_;
  std::unordered_map<std::string, Group> groups_;
  std::uint64_t dropped_count_ = 0;
  Finding unwritten_;  // receives the details of findings that only count
};

/// Loaders that would run what a pickle in this wrapping says.
std::vector<std::string> loaders_of(Wrapping wrapping);

}  // namespace kilter::pickle
