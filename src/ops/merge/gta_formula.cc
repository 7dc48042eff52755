#include "ops/merge/gta_formula.h"

#include <algorithm>

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
  for (const MergeTerm& term : merge.terms) {
    weights_.push_back(term.parameters.weight);
    weight_sum_ += term.parameters.weight;
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
    const double factor = thinner_.terms()[i].factor;
    scale(rules_.elects_unweighted ? factor : weights_[i] * factor,
          std::span(block.terms[i], block.count));
  }
  double* const total = block.scratch[0];
  std::copy_n(block.terms[0], block.count, total);
  for (std::size_t i = 1; i < weights_.size(); ++i) add(block.terms[i], block.count, total);
  if (rules_.elects_sign) return elect(block);
  if (!rules_.normalize)
    return add_scaled_sum(block.base, rules_.lambda, total, block.count, block.out);
  double* const divisor = block.scratch[1];
  std::fill_n(divisor, block.count, weight_sum_);
  add_divided_sum(block.base, rules_.lambda, total, divisor, total, block.count, block.out);
}

void GtaFormula::elect(const FormulaBlock& block) const {
  const double* const election = block.scratch[0];
  double* const sum = block.scratch[1];
  double* const divisor = block.scratch[2];
  std::fill_n(sum, block.count, 0.0);
  std::fill_n(divisor, block.count, 0.0);
  for (std::size_t i = 0; i < weights_.size(); ++i)
    add_agreeing(block.terms[i], election, rules_.elects_unweighted ? weights_[i] : 1.0,
                 weights_[i], block.count, sum, divisor);
  if (!rules_.normalize) std::fill_n(divisor, block.count, 1.0);
  add_divided_sum(block.base, rules_.lambda, sum, divisor, election, block.count, block.out);
}

}  // namespace kilter::ops
