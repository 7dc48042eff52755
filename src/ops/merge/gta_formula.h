// The element of the family of task arithmetic, once it is known what is kept.
#pragma once

#include <memory>
#include <vector>

#include "ops/merge/merge_kernel.h"
#include "ops/merge/row_ranks.h"
#include "ops/merge/thinning.h"

namespace kilter::ops {

struct GtaRules {
  bool elects_sign = false;
  bool elects_unweighted = false;  ///< the sign is that of the sum without weights
  bool normalize = false;
  double lambda = 1;
};

class GtaFormula : public MergeFormula {
 public:
  GtaFormula(const TensorMerge& merge, Thinner thinner, const GtaRules& rules);
  std::size_t scratch_count() const override { return 2; }
  Result<TileBounds> begin_tile(const KernelTile& tile, std::uint64_t first,
                                std::size_t count) const override;
  void run(const FormulaBlock& block) const override;

 private:
  GtaRules rules_;
  Thinner thinner_;
  std::vector<double> weights_, factors_, multiples_;
  double weight_sum_ = 0;
  std::unique_ptr<const RowRanks> ranks_;  // null: nothing is ranked by rows
};

/// What RowRanks needs of a thinner; null where no term is ranked by rows.
std::unique_ptr<const RowRanks> row_ranks_of(const TensorMerge& merge, const Thinner& thinner);

}  // namespace kilter::ops
