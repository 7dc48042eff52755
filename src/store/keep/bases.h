// Which other chunk a tensor's chunk may lean on.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "store/store.h"

namespace kilter::store {

/// Finds, for tensors of one tree, the same tensor in another tree.
class TensorMatcher {
 public:
  explicit TensorMatcher(std::shared_ptr<const Tree> tree);
  /// Same file and name, or the only one of this name; same element size. nullptr if none.
  const TreeTensor* find(const Tree& of, const TreeTensor& tensor) const;

 private:
  std::shared_ptr<const Tree> tree_;
  std::unordered_map<std::string, const TreeTensor*> by_path_and_name_;
  std::unordered_map<std::string, std::vector<const TreeTensor*>> by_name_;
};

/// float32 tensors of the same tree whose rounded copy `tensor` may be, likeliest first: those
/// whose name holds its name, then others of its shape; at most a few.
std::vector<const TreeTensor*> rounding_candidates(const Tree& tree, const TreeTensor& tensor);

}  // namespace kilter::store
