// Content digests tensor by tensor. Source: spec/recipe.md, Content digest.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kilter/weights.h"

#include "base/hash.h"

namespace kilter::ops {

/// BLAKE3 of each tensor's elements, in the order of the checkpoint.
Result<std::vector<Digest256>> tensor_digests(const Checkpoint& checkpoint, unsigned thread_count,
                                              const RunContext& context);

struct NamedContent {
  std::string_view name;
  DType dtype = DType::kF32;
  const std::vector<std::int64_t>* shape = nullptr;
  Digest256 digest{};
};
/// The content digest of tensors in any order.
std::string digest_of_contents(std::vector<NamedContent> tensors);
/// The same of a checkpoint whose tensors have these digests.
std::string digest_of_contents(const Checkpoint& checkpoint, const std::vector<Digest256>& digests);

}  // namespace kilter::ops
