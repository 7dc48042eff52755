#include "ops/merge/gta.h"

#include <algorithm>

#include "base/try.h"
#include "ops/merge/kernels/merge_lanes.h"
#include "ops/merge/linear_study.h"
#include "ops/merge/merge_kernel.h"
#include "tensor/kernels/float_values.h"

namespace kilter::ops {
namespace {

/// base + lambda * sum of weight * (term - base).
class TaskArithmeticFormula : public MergeFormula {
 public:
  explicit TaskArithmeticFormula(const TensorMerge& merge) : lambda_(merge.parameters.lambda) {
    double sum = 0;
    for (const MergeTerm& term : merge.terms) sum += term.parameters.weight;
    for (const MergeTerm& term : merge.terms) weights_.push_back(term.parameters.weight);
  }
  std::size_t scratch_count() const override { return 1; }
  void run(const FormulaBlock& block) const override {
    double* const sum = block.scratch[0];
    std::fill_n(sum, block.count, 0.0);
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      subtract(block.base, block.count, block.terms[i]);
      add_weighted(weights_[i], std::span(block.terms[i], block.count), sum);
    }
    add_scaled_sum(block.base, lambda_, sum, block.count, block.out);
  }

 private:
  double lambda_;
  std::vector<double> weights_;
};

class TaskVectorStudy : public MergeStudy {
 public:
  using MergeStudy::MergeStudy;
  Result<bool> next_pass() override { return false; }
  Status add(const StudyBlock& block) override {
    (void)block;
    return ok();
  }
  Result<std::shared_ptr<const Kernel>> finish() override {
    const double whole = 1;
    if (merge().terms.empty()) return blend_inputs(merge(), std::span(&whole, 1));
    return std::make_shared<MergeKernel>(merge(), std::make_unique<TaskArithmeticFormula>(merge()));
  }
};

}  // namespace

std::unique_ptr<MergeStudy> study_task_vectors(const TensorMerge& merge) {
  return std::make_unique<TaskVectorStudy>(merge);
}

}  // namespace kilter::ops
