#include "ops/selection.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "kilter/identity.h"

#include "base/text.h"
#include "base/try.h"

namespace kilter::ops {

namespace {

/// Keys under which training scripts keep the weights; a dict with another name is left in place.
constexpr std::array<std::string_view, 8> kContainers = {
    "state_dict", "model_state_dict", "model_state", "model", "module", "weights", "params", "net"};

/// Whether `node` or anything below it is a tensor. Iterative; every node is looked at once.
bool holds_tensor(const StateTree& tree, StateId start) {
  std::vector<StateId> open{start};
  std::vector<bool> seen(tree.size(), false);
  while (!open.empty()) {
    const StateId id = open.back();
    open.pop_back();
    if (id == kNoState || seen[id]) continue;
    seen[id] = true;
    const StateNode& node = tree[id];
    if (node.kind == StateKind::kTensor) return true;
    open.insert(open.end(), node.items.begin(), node.items.end());
    open.push_back(node.state);
    open.push_back(node.extra);
  }
  return false;
}

std::string_view part_name(Part part) {
  switch (part) {
    case Part::kWeights:
      return "weights";
    case Part::kEma:
      return "ema";
    case Part::kOptimizer:
      return "optimizer";
    case Part::kAll:
      break;
  }
  return "all";
}

bool matches_any(const std::vector<std::string>& globs, const std::string& name) {
  return std::any_of(globs.begin(), globs.end(),
                     [&](const std::string& glob) { return glob_match(glob, name); });
}

Status check_renames(const ConvertOptions& options) {
  for (const auto& [from, to] : options.rename) {
    const auto stars = std::count(from.begin(), from.end(), '*');
    if (from.empty() || stars > 1 || stars != std::count(to.begin(), to.end(), '*')) {
      Error error(ErrorCode::kInvalidArgument, "cannot rename '" + from + "' to '" + to + "'");
      error.hint = "write a prefix (model.=), or one * on both sides (a.*.w=b.*.w)";
      return fail(std::move(error));
    }
  }
  return ok();
}

/// One rule applied to one name; false if it does not match.
bool apply_rename(const std::string& from, const std::string& to, std::string* name) {
  const auto star = from.find('*');
  if (star == std::string::npos) {
    if (!name->starts_with(from)) return false;
    *name = to + name->substr(from.size());
    return true;
  }
  const std::string_view before = std::string_view(from).substr(0, star);
  const std::string_view after = std::string_view(from).substr(star + 1);
  if (name->size() < before.size() + after.size() || !name->starts_with(before) ||
      !name->ends_with(after))
    return false;
  const std::string middle =
      name->substr(before.size(), name->size() - before.size() - after.size());
  const auto target_star = to.find('*');
  *name = to.substr(0, target_star) + middle + to.substr(target_star + 1);
  return true;
}

Status check_unique(const CheckpointData& data, const Selection& selection) {
  std::unordered_map<std::string_view, std::size_t> seen;
  for (const Selected& one : selection.tensors) {
    if (one.name.empty()) continue;
    const auto [at, fresh] = seen.emplace(one.name, one.tensor);
    if (fresh) continue;
    Error error(ErrorCode::kInvalidArgument, "two tensors would be named \"" + one.name + "\"");
    error.path = data.path;
    error.tensor = data.index.tensors[one.tensor].name;
    error.found = "\"" + data.index.tensors[at->second].name + "\" has that name already";
    error.hint = "choose other --rename rules, or one --part";
    return fail(std::move(error));
  }
  return ok();
}

std::string joined(const std::vector<std::string>& path) {
  std::string out;
  for (const std::string& key : path) out += key + ".";
  return out;
}

}  // namespace

StateId dict_of(const StateTree& tree, StateId node) {
  if (node == kNoState) return kNoState;
  if (tree[node].kind == StateKind::kDict) return node;
  const StateId extra = tree[node].kind == StateKind::kObject ? tree[node].extra : kNoState;
  return extra != kNoState && tree[extra].kind == StateKind::kDict ? extra : kNoState;
}

std::vector<std::string> container_path(const StateTree& tree) {
  std::vector<std::string> path;
  StateId here = tree.empty() ? kNoState : tree.root();
  while (path.size() < 4) {
    const StateId dict = dict_of(tree, here);
    if (dict == kNoState) break;
    const auto& items = tree[dict].items;
    StateId key = kNoState, value = kNoState;
    std::size_t with_tensors = 0;
    for (std::size_t i = 0; i + 1 < items.size() && with_tensors < 2; i += 2) {
      if (!holds_tensor(tree, items[i + 1])) continue;
      ++with_tensors;
      key = items[i];
      value = items[i + 1];
    }
    if (with_tensors != 1 || tree[key].kind != StateKind::kString) break;
    const std::string& name = tree[key].text;
    const bool known = std::find(kContainers.begin(), kContainers.end(), name) != kContainers.end();
    if (!known || dict_of(tree, value) == kNoState) break;
    path.push_back(name);
    here = value;
  }
  return path;
}

Result<Selection> select_tensors(const CheckpointData& data, const ConvertOptions& options) {
  KILTER_TRY(check_renames(options));
  Selection out;
  out.fits.assign(options.rename.size(), 0);
  const auto& tensors = data.index.tensors;
  const bool by_part = options.part != Part::kAll;
  const std::vector<std::string> parts = by_part ? tensor_parts(data) : std::vector<std::string>();
  const std::vector<std::string> inner = by_part ? unwrapped_names(data) : parts;
  const std::string prefix = by_part ? std::string() : joined(container_path(data.state));
  const bool strip =
      !prefix.empty() && std::all_of(tensors.begin(), tensors.end(), [&](const auto& t) {
        return t.name.size() > prefix.size() && t.name.starts_with(prefix);
      });
  if (strip) out.unwrapped = prefix;

  std::size_t taken = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    Selected one{i, tensors[i].name, ""};
    if (by_part) one.name = inner[i];
    if (strip) one.name.erase(0, prefix.size());
    if (by_part && parts[i] != part_name(options.part)) {
      one.reason = "--part " + std::string(part_name(options.part)) + ": this is " + parts[i];
      one.name.clear();
    } else if (!options.only.empty() && !matches_any(options.only, one.name) &&
               !matches_any(options.only, tensors[i].name)) {
      one.reason = "--only: no pattern matches";
      one.name.clear();
    }
    if (!one.name.empty()) {
      ++taken;
      for (std::size_t r = 0; r < options.rename.size(); ++r) {
        const auto& [from, to] = options.rename[r];
        if (!apply_rename(from, to, &one.name)) continue;
        one.reason = "--rename " + from + "=" + to;
        ++out.fits[r];
      }
    }
    out.whole = out.whole && one.reason.empty() && !one.name.empty();
    out.tensors.push_back(std::move(one));
  }
  if (by_part) out.whole = false;
  if (taken == 0 && !tensors.empty()) {
    Error error(ErrorCode::kInvalidArgument, "no tensor is left to write");
    error.path = data.path;
    error.hint = "see the names with `kilter inspect --tensors`";
    return fail(std::move(error));
  }
  KILTER_TRY(check_unique(data, out));
  return out;
}

}  // namespace kilter::ops
