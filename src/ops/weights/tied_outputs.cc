#include "ops/weights/tied_outputs.h"

#include <map>
#include <tuple>
#include <unordered_map>

#include "base/try.h"
#include "flow/blocks.h"
#include "flow/source.h"
#include "ops/view_key.h"

namespace kilter::ops {
namespace {

using TiedNames = std::vector<std::pair<std::string, std::string>>;

class TiedOutputs {
 public:
  TiedOutputs(Plan& plan, const Checkpoint& base) : plan_(plan), base_(base) {}

  Result<TiedNames> run(const RunContext& context) {
    KILTER_TRY(resolve_stated(context));
    std::vector<PlanOutput> kept;
    for (PlanOutput& output : plan_.outputs)
      if (!joins(output, kept)) kept.push_back(std::move(output));
    plan_.outputs = std::move(kept);
    return std::move(joined_);
  }

 private:
  using InputKey = std::tuple<const Source*, ViewKey>;
  using OutputKey = std::tuple<DType, std::vector<std::int64_t>, std::vector<InputKey>>;

  /// Ties that a state file states between tensors stored twice hold only if the bytes agree.
  Status resolve_stated(const RunContext& context) {
    if (base_.data().ties.empty()) return ok();
    std::unordered_map<std::string_view, std::size_t> by_name;
    for (std::size_t i = 0; i < base_.tensors().size(); ++i)
      by_name.emplace(base_.tensors()[i].name, i);
    for (const auto& [later, earlier] : base_.data().ties) {
      const auto a = by_name.find(later), b = by_name.find(earlier);
      if (a == by_name.end() || b == by_name.end()) continue;
      const TensorInfo &copy = base_.tensors()[a->second], &first = base_.tensors()[b->second];
      if (copy.dtype != first.dtype || copy.shape != first.shape) continue;
      if (view_key(copy) == view_key(first)) continue;
      KILTER_ASSIGN(const bool equal,
                    equal_tensors(*base_.source(), a->second, b->second, context));
      if (equal) stands_for_[a->second] = b->second;
    }
    return ok();
  }

  InputKey key_of(const PlanInput& input) const {
    std::size_t tensor = input.index;
    if (input.source == base_.source())
      if (const auto tied = stands_for_.find(tensor); tied != stands_for_.end())
        tensor = tied->second;
    return {input.source.get(), view_key(input.source->index().tensors[tensor])};
  }

  static bool same_kernels(const PlanOutput& a, const PlanOutput& b) {
    if (!a.kernel || !b.kernel) return !a.kernel && !b.kernel;
    return a.kernel->same_as(*b.kernel);
  }

  bool joins(const PlanOutput& output, std::vector<PlanOutput>& kept) {
    OutputKey key{output.dtype, output.shape, {}};
    for (const PlanInput& input : output.inputs) {
      if (input.kind != InputKind::kTensor) return false;
      std::get<2>(key).push_back(key_of(input));
    }
    if (output.inputs.empty() || !output.views.empty()) return false;
    const auto [at, fresh] = first_of_.try_emplace(std::move(key), kept.size());
    if (fresh || !same_kernels(kept[at->second], output)) return false;
    PlanOutput& first = kept[at->second];
    if (first.views.empty()) add_view(first, first.name);
    add_view(first, output.name);
    joined_.emplace_back(output.name, first.name);
    return true;
  }

  static void add_view(PlanOutput& output, const std::string& name) {
    output.views.push_back({name, output.dtype, output.shape, contiguous_strides(output.shape), 0});
  }

  Plan& plan_;
  const Checkpoint& base_;
  std::map<std::size_t, std::size_t> stands_for_;
  std::map<OutputKey, std::size_t> first_of_;  // into what is kept
  TiedNames joined_;
};

}  // namespace

Result<TiedNames> join_tied_outputs(Plan& plan, const Checkpoint& base, const RunContext& context) {
  return TiedOutputs(plan, base).run(context);
}

}  // namespace kilter::ops
