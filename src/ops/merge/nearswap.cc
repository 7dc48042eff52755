#include <algorithm>
#include <cmath>

#include "ops/merge/element_studies.h"
#include "ops/merge/merge_kernel.h"

namespace kilter::ops {
namespace {

/// The nearer the two, the more of the other model.
class NearswapFormula : public MergeFormula {
 public:
  explicit NearswapFormula(double t) : t_(t) {}
  void run(const FormulaBlock& block) const override {
    for (std::size_t i = 0; i < block.count; ++i) {
      const double a = block.base[i], b = block.terms[0][i], distance = std::fabs(a - b);
      const double share = distance == 0 ? 1.0 : std::clamp(t_ / distance, 0.0, 1.0);
      block.out[i] = (1 - share) * a + share * b;
    }
  }

 private:
  double t_;
};

class NearswapStudy : public MergeStudy {
 public:
  using MergeStudy::MergeStudy;
  Result<bool> next_pass() override { return false; }
  Status add(const StudyBlock& block) override {
    (void)block;
    return ok();
  }
  Result<std::shared_ptr<const Kernel>> finish() override {
    return std::make_shared<MergeKernel>(merge(),
                                         std::make_unique<NearswapFormula>(merge().parameters.t));
  }
};

}  // namespace

std::unique_ptr<MergeStudy> study_nearswap(const TensorMerge& merge) {
  return std::make_unique<NearswapStudy>(merge);
}

}  // namespace kilter::ops
