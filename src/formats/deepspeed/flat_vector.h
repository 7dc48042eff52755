// Vectors that ranks hold in parts, and tensors cut out of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kilter/tensor_index.h"

namespace kilter::deepspeed {

/// Consecutive elements of a storage.
struct FlatPart {
  std::uint32_t storage = 0;  ///< in the index being built
  std::uint64_t offset_elements = 0;
  std::uint64_t count = 0;
};

/// Parts one behind another, as if they were one vector.
class FlatVector {
 public:
  void append(const FlatPart& part);
  std::uint64_t count() const { return starts_.empty() ? 0 : end_; }
  /// Elements of the first part.
  std::uint64_t first_count() const { return parts_.empty() ? 0 : parts_[0].count; }
  /// The parts that elements [first, first + count) lie in, which must be there.
  std::vector<FlatPart> cut(std::uint64_t first, std::uint64_t count) const;

 private:
  std::vector<FlatPart> parts_;
  std::vector<std::uint64_t> starts_;  // of each part in the whole
  std::uint64_t end_ = 0;
};

/// Adds a storage of `parts` one behind another, elements of `dtype`: a run of one file as it lies
/// there, anything else as an assembly.
std::uint32_t add_joined(const std::vector<FlatPart>& parts, DType dtype, std::string name,
                         TensorIndex* index);

}  // namespace kilter::deepspeed
