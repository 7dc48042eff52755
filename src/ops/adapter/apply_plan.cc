#include "ops/adapter/apply_plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <memory>

#include "base/text.h"
#include "base/thread_pool.h"
#include "base/try.h"
#include "flow/engine.h"
#include "model/adapters/check_modules.h"
#include "ops/adapter/adapter_kernel.h"
#include "ops/adapter/base_modules.h"
#include "tensor/kernels/float_values.h"

namespace kilter::ops {
namespace {

using model::AdapterModule;
using model::FactorRole;
using model::ModuleKind;
using Shape = std::vector<std::int64_t>;

std::string dimensions(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

std::uint64_t product_of(const Shape& shape) {
  std::uint64_t out = 1;
  for (const std::int64_t dimension : shape) out *= static_cast<std::uint64_t>(dimension);
  return out;
}

/// What does not fit, kind by kind, so that one message tells all of it.
class AdapterMisfits {
 public:
  explicit AdapterMisfits(const std::set<Allow>& allow) : allow_(allow) {}

  bool allowed(Allow kind, std::string what) {
    if (allow_.contains(kind)) return true;
    auto& rows = rows_[kind];
    if (rows.size() < kShown) rows.push_back(std::move(what));
    ++counts_[kind];
    return false;
  }

  Status status() const {
    if (rows_.empty()) return ok();
    std::string text = "the adapter does not fit this base", hint;
    for (const auto& [kind, rows] : rows_) {
      text += fmt::format("; {}", fmt::join(rows, "; "));
      const std::size_t more = counts_.at(kind) - rows.size();
      if (more > 0) text += fmt::format("; and {} more", more);
      hint += fmt::format("{}--allow {}", hint.empty() ? "to leave them out give " : " ",
                          allow_name(kind));
    }
    return fail(Error(ErrorCode::kInvalidArgument, std::move(text)).advise(std::move(hint)));
  }

 private:
  static constexpr std::size_t kShown = 4;
  const std::set<Allow>& allow_;
  std::map<Allow, std::vector<std::string>> rows_;
  std::map<Allow, std::size_t> counts_;
};

/// What shall happen to one tensor of the base.
struct Changes {
  std::vector<AdapterStep> steps;
  std::vector<AdapterTensor::Rows> rows;  // one for each step
  std::vector<PlanInput> inputs;          // behind the base's own
  std::string adapters;                   // for the report
  std::string replaced_reason;
};

class ApplyPlanner {
 public:
  explicit ApplyPlanner(const ApplyRequest& request)
      : request_(request), base_(*request.base), modules_(base_), misfits_(request.allow) {}

  Result<ApplyPlan> run() {
    for (const AppliedAdapter& adapter : request_.adapters) KILTER_TRY(take(adapter));
    KILTER_TRY(misfits_.status());
    if (changes_.empty() && added_.empty())
      return fail(ErrorCode::kInvalidArgument, "no module of the adapter is in the base");
    KILTER_TRY(divide_memory());
    out_.plan.verb = "adapter-apply";
    for (std::size_t i = 0; i < base_.names.size(); ++i) plan_tensor(i);
    for (const auto& [name, input] : added_) plan_added(name, input);
    for (const WeightsReport::Tensor& row : out_.tensors)
      out_.plan.accounts.push_back(
          {row.name, row.fate == "dropped" ? Fate::kDropped : Fate::kUsed, row.name, row.reason});
    return std::move(out_);
  }

 private:
  Status take(const AppliedAdapter& adapter) {
    const auto& description = *adapter.description;
    if (!description.unsupported.empty())
      return fail(Error(ErrorCode::kUnsupported,
                        "the adapter cannot be applied: " + description.unsupported.front())
                      .at_path(adapter.input->address));
    for (const auto& [name, why] : description.ignored)
      misfits_.allowed(Allow::kExtra,
                       fmt::format("{}: {} is {}", adapter.input->address, name, why));
    if (description.scale_unknown)
      misfits_.allowed(
          Allow::kMissing,
          adapter.input->address + ": adapter_config.json, which states alpha, is missing");
    // What it trained whole first: factors of the same layer belong to that.
    for (const AdapterModule& module : description.modules)
      if (module.kind == ModuleKind::kReplace) replace(adapter, module);
    for (const AdapterModule& module : description.modules)
      if (module.kind != ModuleKind::kReplace) KILTER_TRY(change(adapter, module));
    return ok();
  }

  std::string says(const AppliedAdapter& adapter, const AdapterModule& module) const {
    return fmt::format("{}: {}{}{}", adapter.input->address, module.part,
                       module.part.empty() ? "" : ".", module.path);
  }

  Status refuse_quantized(const AdapterModule& module, const std::string& found) const {
    return fail(Error(ErrorCode::kUnsupported, "the base is quantized")
                    .at_path(base_.address)
                    .at_tensor(module.path)
                    .wanted("a float weight", found)
                    .advise("apply the adapter to the model as it was before it was quantized"));
  }

  Status change(const AppliedAdapter& adapter, const AdapterModule& module) {
    if (const std::string found = modules_.quantized(module); !found.empty())
      return refuse_quantized(module, found);
    const bool of_bias = module.kind == ModuleKind::kDiff && !module.find(FactorRole::kDiff);
    const auto weight = modules_.find(module, "weight");
    if (!weight && !of_bias) {
      misfits_.allowed(Allow::kMissing, says(adapter, module) + " is not in the base");
      return ok();
    }
    if (weight && !of_bias) {
      const TensorInfo& info = base_.info(weight->tensor);
      if (!has_float_values(info.dtype))
        return refuse_quantized(module, std::string(dtype_name(info.dtype)));
      KILTER_TRY(change_weight(adapter, module, *weight));
    }
    change_bias(adapter, module);
    return ok();
  }

  /// The weight as a matrix; false where the module's product is another one.
  bool lay_out(const AdapterModule& module, const BaseTarget& target, AdapterStep* step,
               AdapterTensor::Rows* rows) const {
    const TensorInfo& info = base_.info(target.tensor);
    if (info.shape.size() < 2) return false;
    const auto all = static_cast<std::uint64_t>(info.shape[0]);
    *rows = {target.first_row, target.rows == 0 ? all : target.rows};
    const std::uint64_t columns = all == 0 ? 0 : info.element_count() / all;
    const Shape made = model::module_shape(module);
    if (made.empty()) return false;
    const auto made_rows = static_cast<std::uint64_t>(made[0]);
    const std::uint64_t made_columns = made_rows == 0 ? 0 : product_of(made) / made_rows;
    const bool straight =
        made_rows == rows->count && made_columns == columns && points_fit(info.shape, made);
    const bool turned =
        made_columns == rows->count && made_rows == columns && info.shape.size() == 2;
    const bool wants_turned = module.transposed || module.embedding;
    step->transposed = turned && (wants_turned || !straight);
    if (wants_turned) return turned;
    // Conv1D keeps [in, out]; a square one that does not say so is taken as it stands.
    return straight || turned;
  }

  /// The kernel of a convolution must be the same: [4, 3, 3] has as many elements as [4, 9].
  static bool points_fit(const Shape& base, const Shape& made) {
    const auto points = [](const Shape& shape) {
      std::uint64_t out = 1;
      for (std::size_t i = 2; i < shape.size(); ++i) out *= static_cast<std::uint64_t>(shape[i]);
      return out;
    };
    return made.size() == 2 || points(base) == points(made);  // LyCORIS makes flat ones too
  }

  void add_step(std::size_t tensor, const AppliedAdapter& adapter, AdapterStep step,
                AdapterTensor::Rows rows) {
    Changes& changes = changes_[tensor];
    step.adapter = adapter.input;
    changes.steps.push_back(step);
    changes.rows.push_back(rows);
  }

  void misfit(const AppliedAdapter& adapter, const AdapterModule& module, const Shape& made,
              std::size_t tensor) {
    misfits_.allowed(Allow::kShape, fmt::format("{} makes {}, and {} is {}", says(adapter, module),
                                                dimensions(made), base_.names[tensor],
                                                dimensions(base_.info(tensor).shape)));
  }

  Status change_weight(const AppliedAdapter& adapter, const AdapterModule& module,
                       const BaseTarget& target) {
    if (module.kind == ModuleKind::kIa3) {
      rescale(adapter, module, target);
      return ok();
    }
    AdapterStep step;
    AdapterTensor::Rows rows;
    step.module = &module;
    if (module.kind == ModuleKind::kDiff) return add_difference(adapter, module, target);
    if (!lay_out(module, target, &step, &rows)) {
      misfit(adapter, module, model::module_shape(module), target.tensor);
      return ok();
    }
    step.weight = adapter.strength * module.scale();
    if (module.find(FactorRole::kMagnitude) != nullptr)
      return dora(adapter, module, target, step, rows);
    largest_factors_ = std::max(largest_factors_, loaded_bytes(module));
    add_step(target.tensor, adapter, step, rows);
    return ok();
  }

  /// Cores are multiplied out in binary64.
  static std::uint64_t loaded_bytes(const AdapterModule& module) {
    std::uint64_t bytes = factor_bytes(module);
    for (const FactorRole role : {FactorRole::kMid, FactorRole::kT1, FactorRole::kT2})
      if (module.find(role) != nullptr) bytes += product_of(model::module_shape(module)) * 8;
    return bytes;
  }

  Status dora(const AppliedAdapter& adapter, const AdapterModule& module, const BaseTarget& target,
              AdapterStep step, AdapterTensor::Rows rows) {
    const TensorInfo& info = base_.info(target.tensor);
    const auto* magnitude = module.find(FactorRole::kMagnitude);
    const std::uint64_t count = product_of(magnitude->shape);
    step.kind = AdapterStep::Kind::kDora;
    step.weight = module.scale();
    step.strength = adapter.strength;
    const auto columns = static_cast<std::uint64_t>(info.shape.size() > 1 ? info.shape[1] : 1);
    const bool of_columns = magnitude->shape.size() > 1 && magnitude->shape[0] == 1 &&
                            adapter.description->naming != model::AdapterNaming::kPeft &&
                            adapter.description->naming != model::AdapterNaming::kDiffusers;
    step.norms_of_columns = step.transposed || of_columns;
    if (info.shape.size() > 2) step.column_group = info.element_count() / (rows.count * columns);
    if (count != (step.norms_of_columns ? columns : rows.count)) {
      misfit(adapter, module, magnitude->shape, target.tensor);
      return ok();
    }
    largest_factors_ = std::max(largest_factors_, loaded_bytes(module) + count * 16);
    add_step(target.tensor, adapter, step, rows);
    return ok();
  }

  /// IA3's vector belongs to the rows [out, 1] or to the columns [1, in].
  void rescale(const AppliedAdapter& adapter, const AdapterModule& module,
               const BaseTarget& target) {
    const TensorInfo& info = base_.info(target.tensor);
    const auto* vector = module.find(FactorRole::kVector);
    const std::uint64_t count = product_of(vector->shape);
    const auto rows = static_cast<std::uint64_t>(info.shape.empty() ? 1 : info.shape[0]);
    const auto columns = static_cast<std::uint64_t>(info.shape.size() > 1 ? info.shape[1] : 1);
    AdapterStep step;
    step.module = &module;
    step.strength = adapter.strength;
    const bool on_input = ia3_on_input(module);
    const bool by_columns = on_input != module.transposed;
    step.kind = by_columns ? AdapterStep::Kind::kColumns : AdapterStep::Kind::kRows;
    if (info.shape.size() > 2) step.column_group = info.element_count() / (rows * columns);
    if (count != (by_columns ? columns : rows))
      return misfit(adapter, module, vector->shape, target.tensor);
    largest_factors_ = std::max<std::uint64_t>(largest_factors_, count * 8);
    add_step(target.tensor, adapter, step, {0, rows});
  }

  static bool ia3_on_input(const AdapterModule& module) {
    const auto& shape = module.find(FactorRole::kVector)->shape;
    return module.on_input.value_or(shape.size() == 2 && shape[0] == 1);
  }

  Status add_difference(const AppliedAdapter& adapter, const AdapterModule& module,
                        const BaseTarget& target) {
    const auto* factor = module.find(FactorRole::kDiff);
    const TensorInfo& info = base_.info(target.tensor);
    if (product_of(factor->shape) != info.element_count() || target.rows != 0) {
      misfit(adapter, module, factor->shape, target.tensor);
      return ok();
    }
    add_input(adapter, module, *factor, target.tensor, AdapterStep::Kind::kInput, adapter.strength);
    return ok();
  }

  void add_input(const AppliedAdapter& adapter, const AdapterModule& module,
                 const model::AdapterFactor& factor, std::size_t tensor, AdapterStep::Kind kind,
                 double weight) {
    Changes& changes = changes_[tensor];
    changes.inputs.push_back(
        {adapter.input->checkpoint.source(), InputKind::kTensor, factor.tensor, 0});
    AdapterStep step;
    step.kind = kind;
    step.module = &module;
    step.weight = weight;
    step.strength = adapter.strength;
    step.input = changes.inputs.size();
    step.input_tensor = factor.tensor;
    step.input_dtype = factor.dtype;
    add_step(tensor, adapter, step, {0, 0});  // rows: filled in with the tensor's
  }

  /// lora_bias, differences of the bias, and IA3's outputs.
  void change_bias(const AppliedAdapter& adapter, const AdapterModule& module) {
    const auto* up_bias = module.find(FactorRole::kUpBias);
    const auto* diff = module.find(FactorRole::kDiffBias);
    const bool ia3 = module.kind == ModuleKind::kIa3 && !ia3_on_input(module);
    if (up_bias == nullptr && diff == nullptr && !ia3) return;
    const auto bias = modules_.find(module, "bias");
    if (!bias) {
      if (!ia3)
        misfits_.allowed(Allow::kMissing, says(adapter, module) + " has no bias in the base");
      return;
    }
    if (ia3) return rescale_bias(adapter, module, bias->tensor);
    const auto* factor = up_bias != nullptr ? up_bias : diff;
    if (product_of(factor->shape) != base_.info(bias->tensor).element_count())
      return misfit(adapter, module, factor->shape, bias->tensor);
    const double weight = adapter.strength * (up_bias != nullptr ? module.scale() : 1);
    add_input(adapter, module, *factor, bias->tensor, AdapterStep::Kind::kInput, weight);
  }

  void rescale_bias(const AppliedAdapter& adapter, const AdapterModule& module,
                    std::size_t tensor) {
    AdapterStep step;
    step.module = &module;
    step.strength = adapter.strength;
    step.kind = AdapterStep::Kind::kColumns;
    const auto* vector = module.find(FactorRole::kVector);
    if (product_of(vector->shape) != base_.info(tensor).element_count())
      return misfit(adapter, module, vector->shape, tensor);
    add_step(tensor, adapter, step, {0, 1});
  }

  /// modules_to_save and trained biases take the base's place; what the base lacks is new.
  void replace(const AppliedAdapter& adapter, const AdapterModule& module) {
    const auto tensor = modules_.find_tensor(module.path);
    const model::AdapterFactor& factor = module.factors.front();
    const PlanInput input = {adapter.input->checkpoint.source(), InputKind::kTensor, factor.tensor,
                             0};
    if (!tensor) {
      if (misfits_.allowed(Allow::kMissing, says(adapter, module) + " is not in the base"))
        added_[module.path] = {input, factor};
      return;
    }
    if (base_.info(*tensor).shape != factor.shape) {
      if (!misfits_.allowed(
              Allow::kShape,
              fmt::format("{} is {}, and in the base {}", says(adapter, module),
                          dimensions(factor.shape), dimensions(base_.info(*tensor).shape))))
        return;
      instead_[*tensor] = {input, factor};
      changes_[*tensor].replaced_reason = "the adapter's, of another shape";
      return;
    }
    add_input(adapter, module, factor, *tensor, AdapterStep::Kind::kReplace, 1);
  }

  Status divide_memory() {
    const std::uint64_t budget = request_.max_memory_bytes;
    const unsigned wanted = request_.thread_count == 0 ? usable_cpu_count() : request_.thread_count;
    const std::uint64_t each = std::max<std::uint64_t>(largest_factors_, 1);
    // One tensor's factors for each thread, and those of the one that comes next.
    const std::uint64_t fits = budget / 2 / each;
    if (fits < 2)
      return fail(Error(ErrorCode::kLimitExceeded, "one layer's factors do not fit into memory")
                      .wanted(format_bytes(each * 4), format_bytes(budget))
                      .advise("raise --max-memory"));
    out_.thread_count = static_cast<unsigned>(std::min<std::uint64_t>(wanted, fits - 1));
    const std::uint64_t taken = each * (out_.thread_count + 1);
    out_.engine_memory_bytes = std::max(budget - std::min(taken, budget), kEngineMemoryBytesMin);
    keeper_ = make_factor_keeper(out_.thread_count);
    return ok();
  }

  void plan_tensor(std::size_t tensor) {
    const TensorInfo& info = base_.info(tensor);
    WeightsReport::Tensor row;
    row.name = base_.names[tensor];
    row.from = row.to = info.dtype;
    row.fate = "copied";
    if (row.name.empty()) {
      row.name = info.name;
      row.fate = "dropped";
      row.reason = "it is not a weight";
      out_.tensors.push_back(std::move(row));
      return;
    }
    if (const auto other = instead_.find(tensor); other != instead_.end()) {
      row.fate = "replaced";
      row.reason = changes_[tensor].replaced_reason;
      plan_copy(row, other->second.first, other->second.second.dtype, other->second.second.shape);
      return;
    }
    const auto found = changes_.find(tensor);
    const PlanInput own = {base_.checkpoint.source(), InputKind::kTensor, tensor, 0};
    if (found == changes_.end()) return plan_copy(row, own, info.dtype, info.shape);
    PlanOutput output;
    output.name = row.name;
    output.dtype = info.dtype;
    output.shape = info.shape;
    output.bytes = row.bytes = info.bytes();
    output.inputs = {own};
    Changes& changes = found->second;
    output.inputs.insert(output.inputs.end(), changes.inputs.begin(), changes.inputs.end());
    row.fate = "adapted";
    output.kernel = std::make_shared<AdapterKernel>(kernel_tensor(tensor, row, changes), keeper_);
    out_.plan.outputs.push_back(std::move(output));
    out_.tensors.push_back(std::move(row));
  }

  AdapterTensor kernel_tensor(std::size_t tensor, const WeightsReport::Tensor& row,
                              const Changes& changes) const {
    const TensorInfo& info = base_.info(tensor);
    AdapterTensor out;
    out.name = row.name;
    out.path = base_.address;
    out.dtype = info.dtype;
    out.rows = info.shape.size() > 1 ? static_cast<std::uint64_t>(info.shape[0]) : 1;
    out.columns = out.rows == 0 ? 0 : info.element_count() / out.rows;
    out.base = &base_;
    out.tensor = tensor;
    out.steps = changes.steps;
    out.step_rows = changes.rows;
    for (auto& rows : out.step_rows)
      if (rows.count == 0) rows = {0, out.rows};
    out.allow_too_large = request_.allow.contains(Allow::kOverflow);
    out.allow_not_finite = request_.allow.contains(Allow::kNonFinite);
    return out;
  }

  void plan_copy(WeightsReport::Tensor row, const PlanInput& input, DType dtype,
                 const Shape& shape) {
    PlanOutput output;
    output.name = row.name;
    output.dtype = row.to = dtype;
    output.shape = shape;
    TensorInfo info;
    info.dtype = dtype;
    info.shape = shape;
    output.bytes = row.bytes = info.bytes();
    output.inputs = {input};
    out_.plan.outputs.push_back(std::move(output));
    out_.tensors.push_back(std::move(row));
  }

  void plan_added(const std::string& name,
                  const std::pair<PlanInput, model::AdapterFactor>& added) {
    WeightsReport::Tensor row;
    row.name = name;
    row.from = added.second.dtype;
    row.fate = "added";
    row.reason = "the base has no such tensor";
    plan_copy(std::move(row), added.first, added.second.dtype, added.second.shape);
  }

  const ApplyRequest& request_;
  const WeightsInput& base_;
  BaseModules modules_;
  AdapterMisfits misfits_;
  std::map<std::size_t, Changes> changes_;  // by tensor of the base
  std::map<std::size_t, std::pair<PlanInput, model::AdapterFactor>> instead_;
  std::map<std::string, std::pair<PlanInput, model::AdapterFactor>> added_;
  std::uint64_t largest_factors_ = 0;
  std::shared_ptr<FactorKeeper> keeper_;
  ApplyPlan out_;
};

}  // namespace

Result<ApplyPlan> plan_apply(const ApplyRequest& request) { return ApplyPlanner(request).run(); }

}  // namespace kilter::ops
