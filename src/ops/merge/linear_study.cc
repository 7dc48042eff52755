#include "ops/merge/linear_study.h"

#include "base/try.h"
#include "ops/weights/blend_kernel.h"

namespace kilter::ops {
namespace {

class LinearStudy : public MergeStudy {
 public:
  using MergeStudy::MergeStudy;
  Result<bool> next_pass() override { return false; }
  Status add(const StudyBlock& block) override {
    (void)block;
    return ok();
  }

  Result<std::shared_ptr<const Kernel>> finish() override {
    if (merge().method == MergeMethod::kPassthrough) {
      const double factor = merge().terms.front().parameters.scale;
      return blend_inputs(merge(), std::span(&factor, 1));
    }
    double sum = 0;
    for (const MergeTerm& term : merge().terms) sum += term.parameters.weight;
    std::vector<double> coefficients;
    for (const MergeTerm& term : merge().terms)
      coefficients.push_back(merge().parameters.normalize ? term.parameters.weight / sum
                                                          : term.parameters.weight);
    return blend_inputs(merge(), coefficients);
  }
};

}  // namespace

std::unique_ptr<MergeStudy> study_linear(const TensorMerge& merge) {
  return std::make_unique<LinearStudy>(merge);
}

std::shared_ptr<const Kernel> blend_inputs(const TensorMerge& merge,
                                           std::span<const double> coefficients) {
  BlendRules rules;
  rules.tensor = merge.name;
  rules.to = merge.to;
  rules.allow_too_large = merge.allow_too_large;
  rules.allow_not_finite = merge.allow_not_finite;
  std::size_t next = 0;
  if (merge.base)
    rules.terms.push_back({merge.base->dtype, coefficients[next++], merge.base->path});
  for (const MergeTerm& term : merge.terms)
    rules.terms.push_back({term.dtype, coefficients[next++], term.path});
  const bool copies = rules.terms.size() == 1 && rules.terms.front().weight == 1 &&
                      rules.terms.front().dtype == merge.to;
  return copies ? nullptr : std::make_shared<BlendKernel>(std::move(rules));
}

}  // namespace kilter::ops
