#include "store/mount/mount_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace kilter::store {
namespace {

constexpr std::size_t kCommitDigits = 12;
constexpr double kStepMax = 1e15;  // beyond it a double may not be the number that was stated

constexpr std::string_view kCommitsPrefix = "commits/";

constexpr std::size_t kStepDigits = 8;  // so that listings are in order

std::string padded_step(std::string digits) {
  if (digits.size() < kStepDigits) digits.insert(0, kStepDigits - digits.size(), '0');
  return digits;
}

std::optional<std::string> step_name(const CommitSummary& commit) {
  const auto step = commit.number("step");
  if (!step || *step < 0 || *step > kStepMax || *step != std::floor(*step)) return std::nullopt;
  return padded_step(fmt::format("{}", static_cast<std::uint64_t>(*step)));
}

bool is_plain_number(std::string_view name) {
  return !name.empty() && name.size() < kStepDigits &&
         std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

bool is_lasting(std::string_view path) { return path.starts_with(kCommitsPrefix); }

MountView::MountView(const History& history) : refs_(history.refs()) {
  for (const char* name : {"branches", "tags", "steps", "commits"}) {
    folders_[""].emplace(name, std::nullopt);
    folders_[name];
  }
  for (const Ref& ref : refs_) {
    const auto commit = history.find(ref.commit);
    if (commit && !history.commits()[*commit].retired)
      add(ref.kind == RefKind::kBranch ? "branches" : "tags", ref.name, ref.commit);
  }
  for (const std::size_t number : history.ancestry(std::nullopt)) {
    const CommitSummary& commit = history.commits()[number];
    if (!commit.retired)
      add("commits", to_hex(commit.digest).substr(0, kCommitDigits), commit.digest);
  }
  add_steps(history);
}

void MountView::add_steps(const History& history) {
  const auto branch = history.default_branch();
  if (!branch) return;
  const auto tip = history.tip(RefKind::kBranch, *branch);
  if (!tip) return;
  for (const std::size_t number : history.ancestry(tip)) {  // newest first: it wins
    const CommitSummary& commit = history.commits()[number];
    const auto name = step_name(commit);
    if (name && !commit.retired) add("steps", *name, commit.digest);
  }
}

/// A name with '/' gets folders. Where a name is both a commit and such a folder ("a" and "a/b",
/// which only a bucket can hold), the commit wins.
void MountView::add(const std::string& folder, const std::string& name, const Digest& commit) {
  const std::size_t slash = name.find('/');
  if (slash == std::string::npos) {
    const auto [entry, fresh] = folders_[folder].try_emplace(name, commit);
    if (!fresh && !entry->second) entry->second = commit;
    return;
  }
  const std::string first = name.substr(0, slash);
  const std::string below = folder + "/" + first;
  const auto [entry, fresh] = folders_[folder].try_emplace(first, std::nullopt);
  if (entry->second) return;
  folders_[below];
  add(below, name.substr(slash + 1), commit);
}

std::optional<MountSpot> MountView::find(std::string_view path) const {
  auto folder = folders_.find("");
  std::string at;
  while (true) {
    if (path.empty()) return MountSpot{};
    const std::string name(path.substr(0, path.find('/')));
    path.remove_prefix(std::min(path.size(), name.size() + 1));
    auto entry = folder->second.find(name);
    // Who types a step leaves out the zeros.
    if (entry == folder->second.end() && at == "steps" && is_plain_number(name))
      entry = folder->second.find(padded_step(name));
    if (entry == folder->second.end()) return std::nullopt;
    if (entry->second) return MountSpot{entry->second, std::string(path)};
    at += at.empty() ? name : "/" + name;
    folder = folders_.find(at);
  }
}

std::vector<std::string> MountView::names(const std::string& folder) const {
  std::vector<std::string> names;
  const auto found = folders_.find(folder);
  if (found == folders_.end()) return names;
  for (const auto& [name, commit] : found->second) names.push_back(name);
  return names;
}

}  // namespace kilter::store
