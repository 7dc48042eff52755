#include "ops/merge/gta_formula.h"

#include <algorithm>

#include "ops/merge/kernels/merge_lanes.h"
#include "tensor/kernels/float_values.h"

namespace kilter::ops {

std::unique_ptr<const RowRanks> row_ranks_of(const TensorMerge& merge, const Thinner& thinner) {
  std::vector<std::optional<RankedChance>> chances;
  bool any = false;
  for (const TermThinning& how : thinner.terms()) {
    const bool ranked = how.by == TermThinning::By::kRankedChance;
    chances.push_back(ranked ? std::optional(how.ranked) : std::nullopt);
    any = any || ranked;
  }
  return any ? std::make_unique<const RowRanks>(merge, std::move(chances)) : nullptr;
}

GtaFormula::GtaFormula(const TensorMerge& merge, Thinner thinner, const GtaRules& rules)
    : rules_(rules), thinner_(std::move(thinner)), ranks_(row_ranks_of(merge, thinner_)) {
  for (std::size_t i = 0; i < merge.terms.size(); ++i) {
    const double weight = merge.terms[i].parameters.weight, made_up = thinner_.terms()[i].factor;
    weights_.push_back(weight);
    weight_sum_ += weight;
    factors_.push_back(rules_.elects_unweighted ? made_up : weight * made_up);
    multiples_.push_back(rules_.elects_unweighted ? weight : 1);
  }
}

Result<TileBounds> GtaFormula::begin_tile(const KernelTile& tile, std::uint64_t first,
                                          std::size_t count) const {
  if (ranks_ == nullptr) return TileBounds{};
  return ranks_->of_tile(tile, first, count);
}

void GtaFormula::run(const FormulaBlock& block) const {
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    const std::uint32_t* const limits = block.limits.empty() ? nullptr : block.limits[i];
    thinner_.apply(i, block.first, block.count, block.base, limits, block.terms[i]);
  }
  if (rules_.elects_sign) {
    const SignElection election{block.terms.data(), factors_.data(), multiples_.data(),
                                weights_.data(),    weights_.size(), rules_.lambda,
                                rules_.normalize};
    return add_elected(election, block.base, block.count, block.out);
  }
  double* const sum = block.scratch[0];
  std::copy_n(block.terms[0], block.count, sum);
  scale(factors_[0], std::span(sum, block.count));
  for (std::size_t i = 1; i < weights_.size(); ++i)
    add_weighted(factors_[i], std::span(block.terms[i], block.count), sum);
  if (!rules_.normalize)
    return add_scaled_sum(block.base, rules_.lambda, sum, block.count, block.out);
  double* const divisor = block.scratch[1];
  std::fill_n(divisor, block.count, weight_sum_);
  add_divided_sum(block.base, rules_.lambda, sum, divisor, sum, block.count, block.out);
}

}  // namespace kilter::ops
