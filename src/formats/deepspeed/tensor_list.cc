#include "formats/deepspeed/tensor_list.h"

#include <fmt/format.h>

#include "base/try.h"

namespace kilter::deepspeed {

Status TensorList::add(const std::string& name, TensorInfo tensor) {
  if (!position_.emplace(name, data_->index.tensors.size()).second)
    return fail(Error(ErrorCode::kMalformed, "the checkpoint gives two tensors of this name")
                    .at_tensor(prefix_ + name));
  tensor.name = prefix_ + name;
  data_->index.tensors.push_back(std::move(tensor));
  return ok();
}

Status TensorList::add_joined(const std::string& name, std::vector<std::int64_t> shape, DType dtype,
                              const std::vector<FlatPart>& parts) {
  TensorInfo tensor;
  tensor.dtype = dtype;
  tensor.strides = contiguous_strides(shape);
  tensor.shape = std::move(shape);
  tensor.storage = deepspeed::add_joined(parts, dtype, prefix_ + name, &data_->index);
  return add(name, std::move(tensor));
}

std::size_t TensorList::add_anyhow(const std::string& name, TensorInfo tensor) {
  std::string free = name;
  for (std::size_t number = 2; position_.contains(free); ++number)
    free = fmt::format("{}#{}", name, number);
  const std::size_t position = data_->index.tensors.size();
  position_.emplace(free, position);
  tensor.name = prefix_ + free;
  data_->index.tensors.push_back(std::move(tensor));
  return position;
}

Status TensorList::add_alias(const std::string& name, const std::string& of) {
  KILTER_TRY(add(name, data_->index.tensors[position(of)]));
  data_->ties.emplace_back(prefix_ + name, prefix_ + of);
  return ok();
}

}  // namespace kilter::deepspeed
