// Which elements of a task vector (term - base) a method keeps, and how it makes up for the rest.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ops/merge/kernels/philox.h"
#include "ops/merge/kernels/selection_lanes.h"
#include "ops/merge/merge_kernel.h"
#include "ops/merge/row_ranks.h"

namespace kilter::ops {

/// For one term.
struct TermThinning {
  enum class By : std::uint8_t { kNothing, kRank, kChance, kRankedChance };
  By by = By::kNothing;
  RankCut bottom = kCutAll, top = kCutNone;  ///< kRank: kept from `bottom` on, without `top`
  std::uint32_t limit = 0;                   ///< kChance: kept up to this random number
  RankedChance ranked;                       ///< kRankedChance
  bool divides_by_chance = false;            ///< kRankedChance: x / p
  double factor = 1;                         ///< what is kept is multiplied by this
};

/// The largest random number that keeps an element of this chance in (0, 1].
std::uint32_t limit_of_chance(double chance);

/// Of one tensor: randomness depends on seed, name, term and element.
PhiloxKey merge_random_key(const TensorMerge& merge);

/// Turns the term's elements `x` into the task vector's, thinned; factor not applied. At most
/// kMergeBlockElements; `limits` for kRankedChance.
class Thinner {
 public:
  explicit Thinner(const TensorMerge& merge);
  std::vector<TermThinning>& terms() { return terms_; }
  const std::vector<TermThinning>& terms() const { return terms_; }
  void apply(std::size_t term, std::uint64_t first, std::size_t count, const double* base,
             const std::uint32_t* limits, double* x) const;
  /// Magnitudes before and after; `x` may be overwritten.
  KeptSums sums(std::size_t term, std::uint64_t first, std::size_t count, const double* base,
                const std::uint32_t* limits, double* x) const;
  /// True where binary64 inputs want their differences in binary64.
  bool is_wide(std::size_t term) const { return wide_[term]; }

 private:
  std::vector<TermThinning> terms_;
  std::vector<bool> wide_;
  PhiloxKey key_;
};

}  // namespace kilter::ops
