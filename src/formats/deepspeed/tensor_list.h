// Tensors of a checkpoint under construction: unique names, in the model's own order.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "kilter/checkpoint.h"

#include "formats/deepspeed/flat_vector.h"

namespace kilter::deepspeed {

class TensorList {
 public:
  explicit TensorList(CheckpointData* data, std::string prefix)
      : data_(data), prefix_(std::move(prefix)) {}

  /// Adds a contiguous tensor of `parts`. kMalformed where the name is taken.
  Status add_joined(const std::string& name, std::vector<std::int64_t> shape, DType dtype,
                    const std::vector<FlatPart>& parts);
  /// Adds a view as it is; its storage number is one of the checkpoint's.
  Status add(const std::string& name, TensorInfo tensor);
  /// The same under a name that may be changed to be unique; returns the position.
  std::size_t add_anyhow(const std::string& name, TensorInfo tensor);
  /// A second name for a tensor that is there.
  Status add_alias(const std::string& name, const std::string& of);

  bool has(const std::string& name) const { return position_.contains(name); }
  /// The position in data.index.tensors of a name (without the prefix) that is there.
  std::size_t position(const std::string& name) const { return position_.at(name); }
  const std::string& prefix() const { return prefix_; }

 private:
  CheckpointData* data_;
  std::string prefix_;
  std::unordered_map<std::string, std::size_t> position_;
};

}  // namespace kilter::deepspeed
