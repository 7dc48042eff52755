// Float tensors in another dtype, rounded once.
#include <memory>
#include <vector>

#include "kilter/weights.h"

#include "base/text.h"
#include "base/try.h"
#include "ops/weights/blend_kernel.h"
#include "ops/weights/recipe_verbs.h"
#include "ops/weights/weights_output.h"

namespace kilter {
namespace ops {
namespace {

class Cast {
 public:
  Cast(std::vector<WeightsInput> inputs, const CastOptions& options)
      : inputs_(std::move(inputs)), options_(options) {}

  Result<WeightsReport> run(const std::string& target) {
    KILTER_TRY(plan());
    report_.verb = "cast";
    report_.sources = {input().address};
    KILTER_ASSIGN(const std::string recipe, make_recipe());
    WeightsJob job{&input(), std::move(plan_), recipe, options_.dtype, {}};
    KILTER_TRY(write_weights(std::move(job), target, options_, report_));
    if (!options_.dry_run) sum_up();
    return std::move(report_);
  }

 private:
  const WeightsInput& input() const { return inputs_.front(); }

  Status plan() {
    plan_.verb = "cast";
    used_.assign(options_.keep.size(), false);
    for (std::size_t i = 0; i < input().names.size(); ++i) KILTER_TRY(add(i));
    for (std::size_t k = 0; k < used_.size(); ++k)
      if (!used_[k])
        return fail(Error(ErrorCode::kInvalidArgument,
                          "--keep " + options_.keep[k].first + " fits no tensor")
                        .advise("see `kilter inspect --tensors`"));
    for (const WeightsReport::Tensor& row : report_.tensors)
      plan_.accounts.push_back(
          {row.name, row.fate == "dropped" ? Fate::kDropped : Fate::kUsed, row.name, row.reason});
    return ok();
  }

  DType wanted(const TensorInfo& info, const std::string& name, std::string& reason) {
    if (!has_float_values(info.dtype)) {
      reason = "not a float that is cast";
      return info.dtype;
    }
    for (std::size_t k = 0; k < options_.keep.size(); ++k) {
      if (!glob_match(options_.keep[k].first, name)) continue;
      used_[k] = true;
      reason = "--keep " + options_.keep[k].first;
      return options_.keep[k].second;
    }
    return options_.dtype;
  }

  Status add(std::size_t tensor) {
    const TensorInfo& info = input().info(tensor);
    WeightsReport::Tensor row;
    row.name = input().names[tensor];
    row.from = row.to = info.dtype;
    auto error = std::make_unique<RoundingError>();
    if (row.name.empty()) {
      row.name = info.name;
      row.fate = "dropped";
      row.reason = "it is not a weight";
    } else {
      row.to = wanted(info, row.name, row.reason);
      row.fate = row.to == row.from ? "copied" : "cast";
      row.bytes =
          row.to == row.from ? info.bytes() : info.element_count() * dtype_row(row.to).bits / 8;
      add_output(tensor, info, row, *error);
    }
    report_.tensors.push_back(std::move(row));
    errors_.push_back(std::move(error));
    return ok();
  }

  void add_output(std::size_t tensor, const TensorInfo& info, const WeightsReport::Tensor& row,
                  RoundingError& error) {
    PlanOutput output;
    output.name = row.name;
    output.dtype = row.to;
    output.shape = info.shape;
    output.bytes = row.bytes;
    output.inputs = {{input().checkpoint.source(), InputKind::kTensor, tensor, 0}};
    if (row.to != row.from) {
      BlendRules rules;
      rules.tensor = row.name;
      rules.to = row.to;
      rules.terms = {{row.from, 1.0, input().address}};
      rules.allow_too_large = options_.allow.contains(Allow::kOverflow);
      rules.allow_not_finite = true;  // they stay what they are
      rules.error = &error;
      output.kernel = std::make_shared<BlendKernel>(std::move(rules));
    }
    plan_.outputs.push_back(std::move(output));
  }

  Result<std::string> make_recipe() const {
    Recipe recipe;
    recipe.verb = "cast";
    recipe.own["dtype"] = dtype_name(options_.dtype);
    if (!options_.keep.empty()) recipe.own["keep"] = dtype_rules_json(options_.keep);
    recipe.allow = options_.allow;
    KILTER_ASSIGN(recipe.inputs, describe_inputs(inputs_, options_));
    return write_recipe(recipe);
  }

  void sum_up() {
    RoundingError all;
    for (std::size_t i = 0; i < errors_.size(); ++i) {
      WeightsReport::Tensor& row = report_.tensors[i];
      if (row.fate != "cast") continue;
      const RoundingError& error = *errors_[i];
      row.measured = true;
      row.too_large = error.too_large();
      row.rms_error = error.rms();
      row.largest_error = error.largest();
      row.cosine = error.cosine();
      all += error;
    }
    report_.rms_error = all.rms();
    report_.largest_error = all.largest();
    report_.cosine = all.cosine();
  }

  std::vector<WeightsInput> inputs_;
  const CastOptions& options_;
  Plan plan_;
  std::vector<bool> used_;  // by --keep
  std::vector<std::unique_ptr<RoundingError>> errors_;
  WeightsReport report_;
};

Status check_dtype(DType dtype) {
  if (has_float_values(dtype)) return ok();
  return fail(
      Error(ErrorCode::kInvalidArgument, "weights cannot be cast to this dtype")
          .wanted("f64, f32, bf16, f16, f8_e4m3fn or f8_e5m2", std::string(dtype_name(dtype))));
}

}  // namespace

Result<WeightsReport> follow_cast(const Recipe& recipe, const std::string& target,
                                  const WeightsOptions& how) {
  KILTER_TRY(check_own_keys(recipe, {"dtype", "keep"}));
  auto options = options_for<CastOptions>(how);
  KILTER_ASSIGN(const std::optional<DType> dtype, own_dtype(recipe, "dtype"));
  options.dtype = dtype.value_or(options.dtype);
  KILTER_ASSIGN(options.keep, own_dtype_rules(recipe, "keep"));
  return cast(recipe.inputs.front().address, target, options);
}

}  // namespace ops

Result<WeightsReport> cast(const std::string& source, const std::string& target,
                           const CastOptions& options) {
  KILTER_TRY(ops::check_dtype(options.dtype));
  for (const auto& [glob, dtype] : options.keep) KILTER_TRY(ops::check_dtype(dtype));
  KILTER_ASSIGN(ops::WeightsInput input, ops::open_weights(source, options.open));
  std::vector<ops::WeightsInput> inputs;
  inputs.push_back(std::move(input));
  return ops::Cast(std::move(inputs), options).run(target);
}

}  // namespace kilter
