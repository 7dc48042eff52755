// An adapter that an operation made, on its way to a file.
#pragma once

#include <string>
#include <vector>

#include "kilter/adapter_factors.h"

#include "base/raw_bytes.h"
#include "flow/plan.h"
#include "model/adapters/name_adapter.h"

namespace kilter::ops {

/// The description's factors point at the draft's tensors: `tensor` is what add() returned.
class AdapterDraft {
 public:
  model::AdapterDescription description;  ///< its `config` stays empty
  /// adapter_config.json of the adapter this one is made of: what it says of the task and the base
  /// is said again; ranks, scales and modules are those of the description.
  std::string config_before;

  /// Elements in memory; without bytes (a dry run) the tensor can be laid out, not written.
  std::size_t add(RawBytes bytes);
  /// A tensor of a checkpoint, copied as it is.
  std::size_t add(PlanInput input);

  /// As safetensors: the folder `target` with adapter_model.safetensors (and adapter_config.json,
  /// where the naming has one), or that one file. Fills in the report's target, files and figures.
  ///
  /// Errors: kInvalidArgument for what the naming cannot say, a file where it wants a folder, or
  /// another format; as write_weights().
  Status write(model::AdapterNaming naming, const std::string& target, const std::string& recipe,
               const WeightsOptions& options, WeightsReport& report);

 private:
  struct Tensor {
    RawBytes bytes;
    std::optional<PlanInput> input;
  };
  /// What is computed lies in one source, which is of `held`.
  Result<Plan> plan(const model::NamedAdapter& named, bool dry_run, std::vector<RawBytes>& held);
  std::vector<Tensor> tensors_;
};

/// Errors: kInvalidArgument with the names there are.
Result<model::AdapterNaming> read_naming(const std::string& name);

}  // namespace kilter::ops
