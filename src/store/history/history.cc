#include "store/history/history.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <queue>

#include "base/text.h"
#include "base/try.h"
#include "store/history/summary.h"

namespace kilter::store {
namespace {

constexpr std::size_t kPrefixDigitsMin = 4;

bool is_hex(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

tl::unexpected<Error> no_such(std::string message, std::string hint) {
  return fail(Error(ErrorCode::kNotFound, std::move(message)).advise(std::move(hint)));
}

/// "…~3" without its end, and the number.
std::uint64_t take_back_count(std::string_view& selector) {
  const std::size_t tilde = selector.rfind('~');
  if (tilde == std::string_view::npos) return 0;
  std::uint64_t count = 1;
  const std::string_view digits = selector.substr(tilde + 1);
  if (!digits.empty()) {
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), count);
    if (parsed.ec != std::errc() || parsed.ptr != digits.data() + digits.size()) return 0;
  }
  selector = selector.substr(0, tilde);
  return count;
}

/// References are read first and the index after them, if it is not new enough: a save moves its
/// reference last, so an index that is younger than the references knows all they point to.
Status see_commits(Store& store, const std::vector<Ref>& refs) {
  const auto index = store.index();
  for (const Ref& ref : refs) {
    KILTER_ASSIGN(const bool known, index->contains(ref.commit, {}));
    if (!known) return store.refresh();
  }
  return ok();
}

/// `slots` is a power of two.
std::size_t first_slot(const Digest& digest, std::size_t slots) {
  std::uint64_t first = 0;
  std::memcpy(&first, digest.data(), sizeof first);
  return static_cast<std::size_t>(first & (slots - 1));
}

bool is_search(std::string_view selector) {
  return selector.starts_with("step:") || selector.starts_with("best:") ||
         selector.starts_with("time:");
}

}  // namespace

const MetaValue* CommitSummary::find(std::string_view key) const {
  const auto found = std::ranges::lower_bound(
      metadata, key, {}, [](const auto& pair) { return std::string_view(pair.first); });
  return found != metadata.end() && found->first == key ? &found->second : nullptr;
}

std::optional<double> CommitSummary::number(std::string_view key) const {
  const MetaValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* integer = std::get_if<std::int64_t>(value)) return static_cast<double>(*integer);
  if (const auto* real = std::get_if<double>(value)) return *real;
  return std::nullopt;
}

std::string meta_text(const MetaValue& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return std::to_string(*integer);
  if (const auto* real = std::get_if<double>(&value)) return fmt::format("{}", *real);
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  return "null";
}

Result<History> History::load(Store& store, std::optional<std::string_view> selector) {
  History history;
  KILTER_ASSIGN(history.refs_, list_refs(store.place()));
  KILTER_TRY(see_commits(store, history.refs_));
  const auto index = store.index();
  KILTER_ASSIGN(const auto indexed, index->commits());
  KILTER_ASSIGN(const auto retired, read_retired(store.place()));
  SummaryReader reader;
  history.commits_.reserve(indexed.size());
  for (const IndexedCommit& commit : indexed) {
    auto read = selector
                    ? reader.read_for(*selector, commit.digest, commit.time_unix_ns, commit.text)
                    : reader.read(commit.digest, commit.time_unix_ns, commit.text);
    KILTER_ASSIGN(CommitSummary summary, std::move(read));
    summary.retired = retired.contains(commit.digest);
    history.commits_.push_back(std::move(summary));
  }
  history.number_commits();
  return history;
}

std::optional<std::size_t> History::find(const Digest& digest) const {
  if (slots_.empty()) return std::nullopt;
  std::size_t at = first_slot(digest, slots_.size());
  for (; slots_[at] != 0; at = (at + 1) % slots_.size())
    if (commits_[slots_[at] - 1].digest == digest) return slots_[at] - 1;
  return std::nullopt;
}

/// An open table: digests are random already, and half of the slots stay empty.
void History::number_commits() {
  slots_.assign(std::bit_ceil(2 * commits_.size() + 1), 0);
  for (std::size_t i = 0; i < commits_.size(); ++i) {
    std::size_t at = first_slot(commits_[i].digest, slots_.size());
    while (slots_[at] != 0) at = (at + 1) % slots_.size();
    slots_[at] = static_cast<std::uint32_t>(i + 1);
  }
}

std::optional<std::size_t> History::tip(RefKind kind, std::string_view name) const {
  for (const Ref& ref : refs_)
    if (ref.kind == kind && ref.name == name) return find(ref.commit);
  return std::nullopt;
}

std::vector<std::string> History::names_at(std::size_t commit) const {
  std::vector<std::string> names;
  for (const Ref& ref : refs_)
    if (ref.commit == commits_[commit].digest)
      names.push_back(ref.kind == RefKind::kTag ? "tag " + ref.name : ref.name);
  return names;
}

Result<std::string> History::default_branch() const {
  std::vector<std::string> branches;
  for (const Ref& ref : refs_)
    if (ref.kind == RefKind::kBranch) branches.push_back(ref.name);
  if (std::ranges::find(branches, "main") != branches.end()) return std::string("main");
  if (branches.size() == 1) return branches.front();
  if (branches.empty())
    return no_such("the store holds no checkpoint yet", "`kilter save SRC STORE` puts one there");
  return fail(Error(ErrorCode::kInvalidArgument, "the store has several branches and none is main")
                  .advise(fmt::format("say which: @{}", fmt::join(branches, ", @"))));
}

std::vector<std::size_t> History::ancestry(std::optional<std::size_t> tip) const {
  std::vector<bool> seen(commits_.size(), false);
  std::priority_queue<std::size_t> open;  // commits are numbered by time
  const auto push = [&](std::optional<std::size_t> commit) {
    if (!commit || seen[*commit]) return;
    seen[*commit] = true;
    open.push(*commit);
  };
  if (tip) push(tip);
  if (!tip)
    for (const Ref& ref : refs_) push(find(ref.commit));
  std::vector<std::size_t> order;
  while (!open.empty()) {
    const std::size_t commit = open.top();
    open.pop();
    order.push_back(commit);
    for (const Digest& parent : commits_[commit].parents) push(find(parent));
  }
  return order;
}

Result<std::size_t> History::back(std::size_t commit, std::uint64_t count) const {
  const std::size_t begin = commit;
  std::uint64_t left = count;
  while (left > 0) {
    const auto& parents = commits_[commit].parents;
    const auto parent = parents.empty() ? std::nullopt : find(parents.front());
    if (!parent)
      return no_such(fmt::format("there are not {} commits before {}", count,
                                 to_hex(commits_[begin].digest).substr(0, 12)),
                     "see `kilter log`");
    commit = *parent;
    if (!commits_[commit].retired) --left;
  }
  return commit;
}

Result<std::size_t> History::resolve_search(std::string_view selector,
                                            const std::vector<std::size_t>& among) const {
  const std::string_view what = selector.substr(5);
  std::optional<std::size_t> best;
  if (selector.starts_with("step:")) {
    double step = 0;
    const auto parsed = std::from_chars(what.data(), what.data() + what.size(), step);
    if (parsed.ec != std::errc() || parsed.ptr != what.data() + what.size())
      return fail(ErrorCode::kInvalidArgument, "step: needs a number, as in @step:1200");
    // `among` is newest first: of two runs through the same step the later one counts.
    for (const std::size_t i : among)
      if (!best && !commits_[i].retired && commits_[i].number("step") == step) best = i;
    if (!best) return no_such(fmt::format("no checkpoint of step {}", what), "see `kilter log`");
    return *best;
  }
  if (selector.starts_with("time:")) {
    auto when = parse_time(what);
    if (!when)
      return fail(ErrorCode::kInvalidArgument,
                  "time: needs a day or time, as in @time:2026-11-01 or @time:2026-11-01T12:30");
    if (what.find('T') == std::string_view::npos && what.find(' ') == std::string_view::npos)
      *when += 86'400'000'000'000 - 1;  // a day means its end
    for (const std::size_t i : among)
      if (!best && !commits_[i].retired && commits_[i].time_unix_ns <= *when) best = i;
    if (!best) return no_such(fmt::format("no checkpoint before {}", what), "see `kilter log`");
    return *best;
  }
  const bool highest = what.starts_with('-');
  const std::string_view key = highest ? what.substr(1) : what;
  for (const std::size_t i : among) {
    const auto value = commits_[i].number(key);
    if (!value || *value != *value || commits_[i].retired) continue;
    const double now = highest ? -*value : *value;
    const double then = best ? *commits_[*best].number(key) * (highest ? -1 : 1) : 0;
    if (!best || now < then) best = i;
  }
  if (!best)
    return no_such(fmt::format("no checkpoint states a number \"{}\"", key), "see `kilter log`");
  return *best;
}

Result<std::size_t> History::resolve_plain(std::string_view selector) const {
  if (selector.empty()) {
    KILTER_ASSIGN(const std::string branch, default_branch());
    return resolve_plain(branch);
  }
  for (const RefKind kind : {RefKind::kBranch, RefKind::kTag})
    for (const Ref& ref : refs_) {
      if (ref.kind != kind || ref.name != selector) continue;
      if (const auto commit = find(ref.commit)) return *commit;
      return fail(Error(ErrorCode::kCorrupt,
                        fmt::format("\"{}\" points to a commit that is missing", ref.name))
                      .advise("run `kilter check`"));
    }
  if (is_search(selector)) return resolve_search(selector, ancestry(std::nullopt));
  if (const std::size_t colon = selector.find(':'); colon != std::string_view::npos) {
    const std::string_view rest = selector.substr(colon + 1);
    const auto start = tip(RefKind::kBranch, selector.substr(0, colon));
    if (start && is_search(rest)) return resolve_search(rest, ancestry(start));
  }
  if (selector.size() >= kPrefixDigitsMin && selector.size() <= 64 && is_hex(selector)) {
    std::vector<std::size_t> found;
    for (std::size_t i = 0; i < commits_.size(); ++i)
      if (to_hex(commits_[i].digest).starts_with(selector)) found.push_back(i);
    if (found.size() == 1) return found.front();
    if (found.size() > 1)
      return fail(Error(ErrorCode::kInvalidArgument,
                        fmt::format("{} commits begin with {}", found.size(), selector))
                      .advise("give more digits"));
  }
  std::vector<std::string> names;
  for (const Ref& ref : refs_)
    if (names.size() < 20) names.push_back("@" + ref.name);
  return no_such(
      fmt::format("the store has no branch, tag or commit \"{}\"", escape_text(selector, 80)),
      names.empty() ? "it is empty" : fmt::format("it has {}", fmt::join(names, ", ")));
}

Result<std::size_t> History::resolve(std::string_view selector) const {
  if (auto whole = resolve_plain(selector); whole || selector.find('~') == std::string_view::npos)
    return whole;
  const std::uint64_t count = take_back_count(selector);
  KILTER_ASSIGN(const std::size_t commit, resolve_plain(selector));
  return back(commit, count);
}

}  // namespace kilter::store
