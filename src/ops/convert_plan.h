// From a selection of tensors to the outputs of a plan, for each kind of target.
#pragma once

#include <string>
#include <vector>

#include "kilter/convert.h"

#include "flow/plan.h"
#include "ops/selection.h"

namespace kilter::ops {

enum class Target : std::uint8_t { kSafetensors, kTorch, kNpz, kDcp };

/// The name a user writes and the row of the format table that writes it.
std::string_view target_name(Target target);
std::string_view target_format(Target target);
/// By --to, else by the extension of `path`. Errors: kInvalidArgument with the choices.
Result<Target> choose_target(const std::string& to, const std::string& path);

/// How a dtype is written where the target has no name for it: the same bytes under another name.
struct Storable {
  DType dtype = DType::kU8;
  std::vector<std::int64_t> shape;
  std::string reason;  ///< empty when nothing changes
};
Storable storable_as(Target target, const TensorInfo& tensor);

struct ConversionPlan {
  Plan plan;
  std::vector<ConvertReport::Tensor> fates;  ///< one for each tensor of the source
};

/// safetensors, npz and dcp: one contiguous output a tensor. torch: one output a storage, shared by
/// the views that shared it, without bytes that no view uses. `same_as` gives, for each tensor, the
/// one whose bytes stand for it in torch output (itself, unless they are tied but stored twice).
ConversionPlan plan_conversion(const Checkpoint& source, const Selection& selection, Target target,
                               const std::vector<std::size_t>& same_as);

}  // namespace kilter::ops
