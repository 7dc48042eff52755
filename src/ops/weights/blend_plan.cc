#include "ops/weights/blend_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>

#include "base/try.h"
#include "ops/weights/blend_kernel.h"
#include "ops/weights/mismatches.h"
#include "ops/weights/widened_source.h"

namespace kilter::ops {
namespace {

std::string shape_text(const TensorInfo& tensor) {
  return fmt::format("{} [{}]", dtype_name(tensor.dtype), fmt::join(tensor.shape, ", "));
}

class BlendPlanner {
 public:
  BlendPlanner(const std::vector<WeightsInput>& inputs, const BlendRequest& request)
      : inputs_(inputs), request_(request) {}

  Result<BlendPlan> run() {
    out_.plan.verb = request_.verb;
    const WeightsInput& base = inputs_.front();
    for (std::size_t i = 0; i < base.names.size(); ++i) {
      if (base.names[i].empty())
        drop(base, i, "it is not a weight");
      else
        add(i);
    }
    for (std::size_t k = 1; k < inputs_.size(); ++k) look_for_extra(inputs_[k]);
    KILTER_TRY(mismatches_.status());
    if (!weightless_.empty())
      return fail(Error(ErrorCode::kInvalidArgument, "the weights of the inputs that have " +
                                                         weightless_.front() + " add up to 0"));
    for (const WeightsReport::Tensor& row : out_.tensors)
      out_.plan.accounts.push_back(
          {row.name, row.fate == "dropped" ? Fate::kDropped : Fate::kUsed, row.name, row.reason});
    return std::move(out_);
  }

 private:
  struct Member {
    std::size_t input = 0, tensor = 0;
    std::shared_ptr<const Source> source;  ///< where `tensor` is
    DType dtype() const { return source->index().tensors[tensor].dtype; }
  };
  Member member(std::size_t input, std::size_t tensor) const {
    return {input, tensor, inputs_[input].checkpoint.source()};
  }

  void drop(const WeightsInput& input, std::size_t tensor, std::string reason) {
    const TensorInfo& info = input.info(tensor);
    WeightsReport::Tensor row;
    row.name = info.name;
    row.fate = "dropped";
    row.reason = std::move(reason);
    row.from = row.to = info.dtype;
    out_.tensors.push_back(std::move(row));
  }

  void look_for_extra(const WeightsInput& input) {
    for (std::size_t i = 0; i < input.names.size(); ++i) {
      const std::string& name = input.names[i];
      if (name.empty() || inputs_.front().find(name)) continue;
      if (mismatches_.allowed(Allow::kExtra, input.address, name,
                              fmt::format("is not in {}", inputs_.front().address)))
        drop(input, i, "extra in " + input.address);
    }
  }

  void add(std::size_t tensor) {
    const WeightsInput& base = inputs_.front();
    const TensorInfo& info = base.info(tensor);
    WeightsReport::Tensor row;
    row.name = base.names[tensor];
    row.fate = "blended";
    row.from = info.dtype;
    row.to = info.dtype;
    std::vector<Member> members = gather(tensor, row);
    const bool floats = has_float_values(info.dtype);
    if (floats && request_.dtype) row.to = *request_.dtype;
    if (!floats && members.size() > 1 && request_.allow.contains(Allow::kValues)) {
      note(row, "integers: the first's values");
      members.resize(1);
    }
    plan_output(info, members, floats, row);
    out_.tensors.push_back(std::move(row));
  }

  static void note(WeightsReport::Tensor& row, const std::string& reason) {
    row.reason += (row.reason.empty() ? "" : "; ") + reason;
  }

  /// The tensor in each input that has it as it should be; the first alone where its shape is not
  /// everybody's.
  std::vector<Member> gather(std::size_t tensor, WeightsReport::Tensor& row) {
    const TensorInfo& info = inputs_.front().info(tensor);
    std::vector<Member> members = {member(0, tensor)};
    bool same_shape = true;
    for (std::size_t k = 1; k < inputs_.size(); ++k) {
      const WeightsInput& input = inputs_[k];
      const auto other = input.find(row.name);
      if (!other) {
        if (mismatches_.allowed(Allow::kMissing, input.address, row.name, "is missing"))
          note(row, "missing in " + input.address);
        continue;
      }
      const TensorInfo& its = input.info(*other);
      if (request_.widen_channels && is_channel_subset(info, its)) {
        if (!dtype_fits(info, its, input, row)) continue;
        note(row, fmt::format("the first {} of {} input channels are {}'s", its.shape[1],
                              info.shape[1], input.address));
        members.push_back({k, 0,
                           make_widened_source(input.checkpoint.source(), *other,
                                               inputs_[0].checkpoint.source(), tensor)});
      } else if (its.shape != info.shape) {
        same_shape = false;
        if (mismatches_.allowed(Allow::kShape, input.address, row.name,
                                fmt::format("is {}, not {}", shape_text(its), shape_text(info))))
          note(row, "other shape in " + input.address + ": the first's values");
      } else if (dtype_fits(info, its, input, row)) {
        members.push_back(member(k, *other));
      }
    }
    // Half a difference is none: without one of its terms a fixed blend is its first model.
    const bool partial = members.size() < inputs_.size() && !request_.rescale_for_missing;
    if (!same_shape || partial) members.resize(1);
    return members;
  }

  bool dtype_fits(const TensorInfo& info, const TensorInfo& its, const WeightsInput& input,
                  WeightsReport::Tensor& row) {
    if (its.dtype == info.dtype) return true;
    const bool floats = has_float_values(its.dtype) && has_float_values(info.dtype);
    if (floats && request_.dtype) return true;  // the user said what it shall become
    const std::string what = fmt::format("is {}, not {}", shape_text(its), shape_text(info));
    if (!mismatches_.allowed(floats ? Allow::kDType : Allow::kValues, input.address, row.name,
                             what))
      return false;
    note(row, fmt::format("{} in {}", dtype_name(its.dtype), input.address));
    return floats;
  }

  void plan_output(const TensorInfo& info, const std::vector<Member>& members, bool floats,
                   WeightsReport::Tensor& row) {
    PlanOutput output;
    output.name = row.name;
    output.dtype = row.to;
    output.shape = info.shape;
    output.bytes = info.element_count() * dtype_row(row.to).bits / 8;
    if (!floats) output.bytes = info.bytes();
    row.bytes = output.bytes;
    for (const Member& one : members)
      output.inputs.push_back({one.source, InputKind::kTensor, one.tensor, 0});
    if (floats && (members.size() > 1 || row.to != row.from || request_.noise)) {
      output.kernel = std::make_shared<BlendKernel>(rules(members, row));
    } else if (!floats && members.size() > 1) {
      std::vector<std::string> paths;
      for (const Member& one : members) paths.push_back(inputs_[one.input].address);
      output.kernel = std::make_shared<EqualKernel>(row.name, std::move(paths));
      row.fate = "copied";
      note(row, "integers: equal in all inputs");
    } else {
      row.fate = "copied";
    }
    out_.plan.outputs.push_back(std::move(output));
  }

  /// The weights of those that have the tensor shall have the sum of all.
  bool rescales(const std::vector<Member>& members) const {
    return request_.rescale_for_missing && members.size() > 1 && members.size() < inputs_.size();
  }

  BlendRules rules(const std::vector<Member>& members, const WeightsReport::Tensor& row) {
    const auto own = request_.own_coefficients.find(row.name);
    const std::vector<double>& coefficients =
        own == request_.own_coefficients.end() ? request_.coefficients : own->second;
    BlendRules rules;
    rules.tensor = row.name;
    rules.to = row.to;
    rules.allow_too_large = request_.allow.contains(Allow::kOverflow);
    rules.allow_not_finite = request_.allow.contains(Allow::kNonFinite);
    if (request_.noise) {
      rules.noise.emplace(request_.noise->seed, row.name);
      rules.noise_deviation = request_.noise->deviation;
    }
    double sum = 0;
    for (const Member& one : members) sum += coefficients[one.input];
    if (sum == 0 && rescales(members)) weightless_.push_back(row.name);
    const bool lone = members.size() == 1;
    for (const Member& one : members) {
      double weight = coefficients[one.input];
      if (lone)
        weight = 1;
      else if (rescales(members))
        weight /= sum;
      rules.terms.push_back({one.dtype(), weight, inputs_[one.input].address});
    }
    return rules;
  }

  const std::vector<WeightsInput>& inputs_;
  const BlendRequest& request_;
  Mismatches mismatches_{request_.allow};
  std::vector<std::string> weightless_;  // tensors
  BlendPlan out_;
};

}  // namespace

Result<BlendPlan> plan_blend(const std::vector<WeightsInput>& inputs, const BlendRequest& request) {
  return BlendPlanner(inputs, request).run();
}

}  // namespace kilter::ops
