#include "kilter/saver.h"

#include "base/try.h"
#include "flow/read_into.h"

namespace kilter {
namespace {

Status check_target(const Checkpoint& checkpoint, const LoadTarget& target) {
  if (target.number >= checkpoint.tensors().size())
    return fail(ErrorCode::kInvalidArgument, "the checkpoint has fewer tensors");
  const TensorInfo& info = checkpoint.tensors()[target.number];
  if (info.dtype == target.tensor.dtype && info.shape == target.tensor.shape &&
      target.tensor.strides.empty())
    return ok();
  return fail(Error(ErrorCode::kInvalidArgument, "the memory does not fit the tensor")
                  .at_tensor(info.name)
                  .wanted("its dtype and shape, contiguous", "others"));
}

}  // namespace

Status load_into(const Checkpoint& checkpoint, const std::vector<LoadTarget>& targets,
                 const RunContext& context) {
  std::vector<flow::IntoTarget> into;
  for (const LoadTarget& target : targets) {
    KILTER_TRY(check_target(checkpoint, target));
    const std::uint64_t bytes = checkpoint.tensors()[target.number].bytes();
    into.push_back({target.number, {static_cast<std::byte*>(target.tensor.data), bytes}});
  }
  return flow::read_into(*checkpoint.source(), into, {}, context);
}

}  // namespace kilter
