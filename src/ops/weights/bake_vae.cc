#include "ops/weights/bake_vae.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>

#include "ops/weights/blend_kernel.h"
#include "tensor/kernels/float_values.h"

namespace kilter::ops {
namespace {

constexpr std::string_view kVaePrefix = "first_stage_model.";

class VaeBaker {
 public:
  VaeBaker(const WeightsInput& vae, const BlendOptions& options, BlendPlan& plan)
      : vae_(vae), options_(options), plan_(plan) {}

  Status run() {
    std::size_t count = 0;
    for (PlanOutput& output : plan_.plan.outputs) {
      if (!output.name.starts_with(kVaePrefix)) continue;
      ++count;
      replace(output);
    }
    if (!missing_.empty()) return fail(misfit());
    if (count == 0) add_all();
    if (plan_.plan.outputs.empty() || (count == 0 && added_ == 0)) return fail(misfit());
    return ok();
  }

 private:
  std::optional<std::size_t> find(const std::string& name) const {
    if (const auto found = vae_.find(name)) return found;
    return vae_.find(name.substr(kVaePrefix.size()));
  }

  WeightsReport::Tensor& row_of(const std::string& name) {
    const auto row = std::ranges::find(plan_.tensors, name, &WeightsReport::Tensor::name);
    return row == plan_.tensors.end() ? plan_.tensors.emplace_back() : *row;
  }

  void replace(PlanOutput& output) {
    const auto tensor = find(output.name);
    if (!tensor || vae_.info(*tensor).shape != output.shape) {
      missing_.push_back(output.name + (tensor ? " (other shape)" : ""));
      return;
    }
    fill(output, *tensor, output.dtype);
  }

  void fill(PlanOutput& output, std::size_t tensor, DType to) {
    const TensorInfo& info = vae_.info(tensor);
    const bool floats = has_float_values(info.dtype) && has_float_values(to);
    output.dtype = floats ? to : info.dtype;
    output.bytes = info.element_count() * dtype_row(output.dtype).bits / 8;
    output.inputs = {{vae_.checkpoint.source(), InputKind::kTensor, tensor, 0}};
    output.kernel = output.dtype == info.dtype ? nullptr : cast_kernel(output, info.dtype);
    WeightsReport::Tensor& row = row_of(output.name);
    row.name = output.name;
    row.fate = output.kernel == nullptr ? "copied" : "cast";
    row.reason = "the VAE of " + vae_.address;
    row.from = info.dtype;
    row.to = output.dtype;
    row.bytes = output.bytes;
  }

  std::shared_ptr<const Kernel> cast_kernel(const PlanOutput& output, DType from) const {
    BlendRules rules;
    rules.tensor = output.name;
    rules.to = output.dtype;
    rules.terms = {{from, 1.0, vae_.address}};
    rules.allow_too_large = options_.allow.contains(Allow::kOverflow);
    rules.allow_not_finite = options_.allow.contains(Allow::kNonFinite);
    return std::make_shared<BlendKernel>(std::move(rules));
  }

  /// The first model has none: everything that looks like an image encoder and decoder comes in.
  void add_all() {
    for (std::size_t i = 0; i < vae_.names.size(); ++i) {
      std::string_view name = vae_.names[i];
      if (name.starts_with(kVaePrefix)) name.remove_prefix(kVaePrefix.size());
      const bool known = name.starts_with("encoder.") || name.starts_with("decoder.") ||
                         name.starts_with("quant_conv.") || name.starts_with("post_quant_conv.");
      if (!known) continue;
      PlanOutput output;
      output.name = std::string(kVaePrefix) + std::string(name);
      output.shape = vae_.info(i).shape;
      fill(output, i, options_.dtype.value_or(vae_.info(i).dtype));
      plan_.plan.accounts.push_back({output.name, Fate::kUsed, output.name, "baked in"});
      plan_.plan.outputs.push_back(std::move(output));
      ++added_;
    }
  }

  Error misfit() const {
    constexpr std::size_t kShown = 4;
    Error error(ErrorCode::kInvalidArgument, "this VAE does not fit the model");
    error.path = vae_.address;
    if (!missing_.empty()) {
      const auto shown = std::min(kShown, missing_.size());
      error.expected = fmt::format(
          "{}{}",
          fmt::join(missing_.begin(), missing_.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
          missing_.size() > shown ? fmt::format(" and {} more", missing_.size() - shown) : "");
      error.found =
          "tensors such as " + (vae_.names.empty() ? std::string("none") : vae_.names.front());
    } else {
      error.expected = "encoder., decoder., quant_conv.";
    }
    error.hint = "a VAE in the layout of single files is needed, not one of a diffusers folder";
    return error;
  }

  const WeightsInput& vae_;
  const BlendOptions& options_;
  BlendPlan& plan_;
  std::vector<std::string> missing_;
  std::size_t added_ = 0;
};

}  // namespace

Status bake_vae(const WeightsInput& vae, const BlendOptions& options, BlendPlan& plan) {
  return VaeBaker(vae, options, plan).run();
}

}  // namespace kilter::ops
