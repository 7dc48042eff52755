// The memo: from any 64-bit index to a node, in memory proportional to what was stored.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "formats/pickle/machine.h"

namespace kilter::pickle {

/// Small indices lie in an array, which grows only as far as the number of entries justifies;
/// index 2^32 costs one entry of a hash table.
class Memo {
 public:
  std::uint64_t count() const { return count_; }

  NodeId get(std::uint64_t index) const {
    if (index < dense_.size() && dense_[index] != kNoNode) return dense_[index];
    if (sparse_.empty()) return kNoNode;
    const auto found = sparse_.find(index);
    return found == sparse_.end() ? kNoNode : found->second;
  }

  void put(std::uint64_t index, NodeId node) {
    if (index >= dense_.size() && index < 8 * (count_ + 32)) dense_.resize(index + 1, kNoNode);
    if (index >= dense_.size()) {
      if (sparse_.insert_or_assign(index, node).second) ++count_;
      return;
    }
    const bool moved = !sparse_.empty() && sparse_.erase(index) != 0;
    if (dense_[index] == kNoNode && !moved) ++count_;
    dense_[index] = node;
  }

 private:
  std::vector<NodeId> dense_;
  std::unordered_map<std::uint64_t, NodeId> sparse_;
  std::uint64_t count_ = 0;
};

}  // namespace kilter::pickle
