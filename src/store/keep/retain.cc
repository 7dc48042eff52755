#include "store/keep/retain.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <set>

#include "base/try.h"

namespace kilter::store {
namespace {

class Decider {
 public:
  Decider(const History& history, const RetainRules& rules) : history_(history), rules_(rules) {}

  RetainDecision run() {
    for (const std::size_t commit : history_.ancestry(std::nullopt))
      if (!history_.commits()[commit].retired) present_.push_back(commit);
    keep_refs();
    if (rules_.last) keep_last(*rules_.last);
    if (rules_.every) keep_every(*rules_.every);
    for (const RetainRules::Best& best : rules_.best) keep_best(best);
    RetainDecision decision;
    for (const std::size_t commit : present_) {
      const auto reason = reasons_.find(commit);
      if (reason == reasons_.end()) {
        decision.retired.push_back(commit);
      } else {
        decision.kept.push_back(commit);
        decision.reasons.push_back(reason->second);
      }
    }
    return decision;
  }

 private:
  void keep(std::size_t commit, const std::string& reason) {
    std::string& text = reasons_[commit];
    text += text.empty() ? "" : ", ";
    text += reason;
  }

  void keep_refs() {
    for (const Ref& ref : history_.refs()) {
      const auto commit = history_.find(ref.commit);
      if (!commit) continue;
      if (ref.kind == RefKind::kBranch) keep(*commit, "tip of " + ref.name);
      if (ref.kind == RefKind::kTag && rules_.tagged) keep(*commit, "tag " + ref.name);
    }
  }

  void keep_last(std::uint64_t count) {
    std::set<std::size_t> last;  // of several branches a commit may be among the last
    for (const Ref& ref : history_.refs()) {
      if (ref.kind != RefKind::kBranch) continue;
      std::uint64_t left = count;
      for (const std::size_t commit : history_.ancestry(history_.find(ref.commit)))
        if (!history_.commits()[commit].retired && left > 0) {
          last.insert(commit);
          --left;
        }
    }
    for (const std::size_t commit : last) keep(commit, "last");
  }

  void keep_every(std::uint64_t every) {
    for (const std::size_t commit : present_) {
      const auto step = history_.commits()[commit].number("step");
      if (step && std::fmod(*step, static_cast<double>(every)) == 0) keep(commit, "every");
    }
  }

  void keep_best(const RetainRules::Best& best) {
    std::vector<std::pair<double, std::size_t>> found;
    for (const std::size_t commit : present_) {
      const auto value = history_.commits()[commit].number(best.key);
      if (value && !std::isnan(*value)) found.emplace_back(best.highest ? -*value : *value, commit);
    }
    // Of equals the newer one counts.
    std::ranges::sort(found, [](const auto& a, const auto& b) {
      return a.first != b.first ? a.first < b.first : a.second > b.second;
    });
    for (std::size_t i = 0; i < found.size() && i < best.count; ++i)
      keep(found[i].second, "best " + best.key);
  }

  const History& history_;
  const RetainRules& rules_;
  std::vector<std::size_t> present_;
  std::map<std::size_t, std::string> reasons_;
};

}  // namespace

Result<RetainRules::Best> parse_best(const std::string& text) {
  RetainRules::Best best;
  std::string_view rest = text;
  const std::size_t colon = rest.find(':');
  if (colon != std::string_view::npos) {
    const auto parsed = std::from_chars(rest.data(), rest.data() + colon, best.count);
    if (parsed.ec != std::errc() || parsed.ptr != rest.data() + colon)
      return fail(ErrorCode::kInvalidArgument, "--best needs N:KEY, as in 2:loss");
    rest.remove_prefix(colon + 1);
  }
  best.highest = rest.starts_with('-');
  if (best.highest) rest.remove_prefix(1);
  best.key = rest;
  if (best.key.empty() || best.count == 0)
    return fail(ErrorCode::kInvalidArgument, "--best needs N:KEY, as in 2:loss");
  return best;
}

namespace {

/// A rule that keeps nothing because its key is misspelt must not cost anybody a checkpoint.
Status check_best(const History& history, const RetainRules::Best& best) {
  const bool stated = std::ranges::any_of(history.commits(), [&](const CommitSummary& commit) {
    return !commit.retired && commit.number(best.key).has_value();
  });
  if (stated) return ok();
  return fail(Error(ErrorCode::kNotFound,
                    fmt::format("no checkpoint states a number \"{}\", so none is best", best.key))
                  .advise("nothing was changed; see `kilter log`"));
}

/// What a tag names stays restorable until the tag is removed, whatever the rules say.
Status check_tags(const History& history, const RetainDecision& decision) {
  for (const std::size_t commit : decision.retired)
    for (const std::string& name : history.names_at(commit))
      return fail(Error(ErrorCode::kInvalidArgument,
                        fmt::format("{} points to a commit that no rule keeps", name))
                      .advise("keep what has a tag with --tagged, or remove it with "
                              "`kilter tag STORE NAME --delete`"));
  return ok();
}

}  // namespace

Result<RetainDecision> decide_retention(const History& history, const RetainRules& rules) {
  const bool any = rules.last || rules.every || !rules.best.empty() || rules.tagged;
  if (!any)
    return fail(Error(ErrorCode::kInvalidArgument, "no rule was given")
                    .advise("say what stays: --last 3, --every 1000, --best 2:loss, --tagged"));
  if (rules.every && *rules.every == 0)
    return fail(ErrorCode::kInvalidArgument, "--every needs a number of steps above 0");
  if (rules.last && *rules.last == 0)
    return fail(ErrorCode::kInvalidArgument, "--last needs a number above 0");
  for (const RetainRules::Best& best : rules.best) KILTER_TRY(check_best(history, best));
  RetainDecision decision = Decider(history, rules).run();
  KILTER_TRY(check_tags(history, decision));
  return decision;
}

Status check_removable(const History& history, std::size_t commit) {
  const auto names = history.names_at(commit);
  if (names.empty()) return ok();
  return fail(
      Error(ErrorCode::kInvalidArgument,
            fmt::format("{} points to this commit", fmt::join(names, ", ")))
          .advise("move or remove the branch or tag first (`kilter branch`, `kilter tag`)"));
}

Status retire_commits(Store& store, const std::vector<Digest>& commits) {
  KILTER_ASSIGN(const auto refs, list_refs(store.place()));
  std::set<Digest> retired(commits.begin(), commits.end());
  for (const Ref& ref : refs)
    if (retired.contains(ref.commit))
      return fail(Error(ErrorCode::kInvalidArgument,
                        "\"" + ref.name + "\" has come to point to one of these commits")
                      .at_path(store.address())
                      .advise("look again with --dry-run"));
  if (retired.empty()) return ok();
  return write_retired(store.place(), retired);
}

}  // namespace kilter::store
