#include "ops/slim/copied_weights.h"

#include "base/try.h"
#include "ops/weights/weights_output.h"

namespace kilter::ops {

Result<WeightsReport> copy_weights(const WeightsInput& input,
                                   const std::vector<CopiedTensor>& tensors, CopyJob job,
                                   const std::string& target, const WeightsOptions& options) {
  Recipe& recipe = job.recipe;
  WeightsReport report;
  report.verb = recipe.verb;
  report.sources = {input.address};
  Plan plan;
  plan.verb = recipe.verb;
  for (const CopiedTensor& one : tensors) {
    const TensorInfo& info = input.info(one.tensor);
    WeightsReport::Tensor row;
    row.name = one.name.empty() ? info.name : one.name;
    row.fate = one.name.empty() ? "dropped" : "copied";
    row.reason = one.reason;
    row.from = row.to = info.dtype;
    plan.accounts.push_back(
        {info.name, one.name.empty() ? Fate::kDropped : Fate::kCopied, one.name, one.reason});
    if (!one.name.empty()) {
      row.bytes = info.bytes();
      PlanOutput output;
      output.name = one.name;
      output.dtype = info.dtype;
      output.shape = info.shape;
      output.bytes = info.bytes();
      output.inputs = {{input.checkpoint.source(), InputKind::kTensor, one.tensor, 0}};
      plan.outputs.push_back(std::move(output));
    }
    report.tensors.push_back(std::move(row));
  }
  std::vector<WeightsInput> inputs;
  inputs.push_back(input);
  recipe.allow = options.allow;
  KILTER_ASSIGN(recipe.inputs, describe_inputs(inputs, options));
  WeightsJob weights{&input, std::move(plan), write_recipe(recipe), std::nullopt};
  weights.keep_metadata = job.keep_metadata;
  weights.left_files = std::move(job.left_files);
  KILTER_TRY(write_weights(std::move(weights), target, options, report));
  return report;
}

}  // namespace kilter::ops
