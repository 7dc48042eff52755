#include "store/keep/bases.h"

#include <algorithm>

#include "store/format/element.h"

namespace kilter::store {
namespace {

constexpr std::size_t kCandidatesMax = 3;

std::string path_and_name(const Tree& tree, const TreeTensor& tensor) {
  return tree.files[tensor.file].path + '\0' + tensor.name;
}

std::uint64_t element_count(const TreeTensor& tensor) {
  return tensor.bytes / element_bytes(element_of(tensor.dtype));
}

}  // namespace

TensorMatcher::TensorMatcher(std::shared_ptr<const Tree> tree) : tree_(std::move(tree)) {
  for (const TreeTensor& tensor : tree_->tensors) {
    by_path_and_name_.emplace(path_and_name(*tree_, tensor), &tensor);
    by_name_[tensor.name].push_back(&tensor);
  }
}

const TreeTensor* TensorMatcher::find(const Tree& of, const TreeTensor& tensor) const {
  const TreeTensor* match = nullptr;
  if (const auto same = by_path_and_name_.find(path_and_name(of, tensor));
      same != by_path_and_name_.end())
    match = same->second;
  if (const auto named = by_name_.find(tensor.name);
      match == nullptr && named != by_name_.end() && named->second.size() == 1)
    match = named->second.front();
  const bool suits = match != nullptr && element_of(match->dtype) == element_of(tensor.dtype) &&
                     match->piece_bytes == tensor.piece_bytes;
  return suits ? match : nullptr;
}

std::vector<const TreeTensor*> rounding_candidates(const Tree& tree, const TreeTensor& tensor) {
  const Element element = element_of(tensor.dtype);
  if (element != Element::kBf16 && element != Element::kF16 && element != Element::kF8E4M3 &&
      element != Element::kF8E5M2)
    return {};
  std::vector<const TreeTensor*> named, shaped;
  for (const TreeTensor& other : tree.tensors) {
    if (element_of(other.dtype) != Element::kF32 || element_count(other) != element_count(tensor))
      continue;
    const bool holds_name = other.name.find(tensor.name) != std::string::npos;
    (holds_name ? named : shaped).push_back(&other);
  }
  named.insert(named.end(), shaped.begin(), shaped.end());
  if (named.size() > kCandidatesMax) named.resize(kCandidatesMax);
  return named;
}

}  // namespace kilter::store
