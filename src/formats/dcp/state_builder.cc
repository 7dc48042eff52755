#include "formats/dcp/state_builder.h"

#include <algorithm>
#include <string>
#include <unordered_map>
#include <utility>

namespace kilter::dcp {
namespace {

/// A list may have as many holes as entries, and this many more.
constexpr std::int64_t kHolesMax = 1024;

struct Branch {
  std::vector<std::pair<PathPart, std::size_t>> children;  // in order of first mention
  std::unordered_map<std::string, std::size_t> by_key;
  StateId leaf = kNoState;
};

/// Text and numbers never meet: "s1" is the key "1", "i1" the position 1.
std::string key_of(const PathPart& part) {
  return part.position ? "i" + std::to_string(*part.position) : "s" + part.key;
}

class Builder {
 public:
  explicit Builder(StateTree* tree) : tree_(*tree), branches_(1) {}

  void add(const StateLeaf& leaf) {
    std::size_t at = 0;
    for (const PathPart& part : leaf.path) {
      if (branches_[at].leaf != kNoState) return;  // a value cannot hold others
      const auto [known, is_new] = branches_[at].by_key.try_emplace(key_of(part), branches_.size());
      const std::size_t next = known->second;
      if (is_new) {
        branches_[at].children.emplace_back(part, next);
        branches_.emplace_back();
      }
      at = next;
    }
    if (branches_[at].leaf == kNoState && branches_[at].children.empty() && at != 0)
      branches_[at].leaf = leaf.value;
  }

  /// Children have larger numbers than their parents: from the last to the first, all are there.
  StateId finish() {
    std::vector<StateId> made(branches_.size(), kNoState);
    for (std::size_t i = branches_.size(); i-- > 0;)
      made[i] = branches_[i].leaf != kNoState ? branches_[i].leaf : node_of(branches_[i], made);
    return made[0];
  }

 private:
  StateId node_of(const Branch& branch, const std::vector<StateId>& made) {
    return is_list(branch) ? list_of(branch, made) : dict_of(branch, made);
  }

  static bool is_list(const Branch& branch) {
    std::int64_t end = 0;
    for (const auto& [part, child] : branch.children) {
      if (!part.position || *part.position < 0) return false;
      if (*part.position >= 2 * static_cast<std::int64_t>(branch.children.size()) + kHolesMax)
        return false;
      end = std::max(end, *part.position + 1);
    }
    return end > 0;
  }

  StateId list_of(const Branch& branch, const std::vector<StateId>& made) {
    StateNode list;
    list.kind = StateKind::kList;
    for (const auto& [part, child] : branch.children) {
      const auto at = static_cast<std::size_t>(*part.position);
      if (list.items.size() <= at) list.items.resize(at + 1, kNoState);
      list.items[at] = made[child];
    }
    for (StateId& item : list.items)
      if (item == kNoState) item = tree_.add(StateNode());
    return tree_.add(std::move(list));
  }

  StateId dict_of(const Branch& branch, const std::vector<StateId>& made) {
    StateNode dict;
    dict.kind = StateKind::kDict;
    for (const auto& [part, child] : branch.children) {
      StateNode key;
      key.kind = part.position ? StateKind::kInt : StateKind::kString;
      key.text = part.key;
      key.integer = part.position.value_or(0);
      dict.items.push_back(tree_.add(std::move(key)));
      dict.items.push_back(made[child]);
    }
    return tree_.add(std::move(dict));
  }

  StateTree& tree_;
  std::vector<Branch> branches_;
};

}  // namespace

StateId build_state(const std::vector<StateLeaf>& leaves, StateTree* tree) {
  Builder builder(tree);
  for (const StateLeaf& leaf : leaves) builder.add(leaf);
  return builder.finish();
}

}  // namespace kilter::dcp
