#include "ops/merge/gta.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/try.h"
#include "ops/merge/gta_formula.h"
#include "ops/merge/linear_study.h"
#include "ops/merge/task_vector_keys.h"

namespace kilter::ops {
namespace {

using By = TermThinning::By;

/// What the methods of the family differ in.
struct GtaTraits {
  By by = By::kNothing;
  bool elects_sign = false;
  bool drops_largest = false;  ///< the share gamma
};

GtaTraits gta_traits(MergeMethod method) {
  switch (method) {
    case MergeMethod::kTies:
      return {By::kRank, true, false};
    case MergeMethod::kDareLinear:
      return {By::kChance, false, false};
    case MergeMethod::kDareTies:
      return {By::kChance, true, false};
    case MergeMethod::kBreadcrumbs:
      return {By::kRank, false, true};
    case MergeMethod::kBreadcrumbsTies:
      return {By::kRank, true, true};
    case MergeMethod::kDella:
      return {By::kRankedChance, true, false};
    case MergeMethod::kDellaLinear:
      return {By::kRankedChance, false, false};
    default:
      return {};
  }
}

/// As many as the share, rounded down.
std::uint64_t share_of(double share, std::uint64_t count) {
  return std::min(count, static_cast<std::uint64_t>(share * static_cast<double>(count)));
}

class GtaStudy : public MergeStudy {
 public:
  GtaStudy(const TensorMerge& merge, std::uint64_t memory_bytes_max)
      : MergeStudy(merge),
        traits_(gta_traits(merge.method)),
        thinner_(merge.terms.empty() ? TensorMerge{} : merge) {
    for (std::size_t i = 0; i < merge.terms.size(); ++i)
      plan_term(i, memory_bytes_max / std::max<std::size_t>(merge.terms.size(), 1));
  }

  std::uint64_t block_elements() const override {
    if (traits_.by != By::kRankedChance) return kStudyBlockElements;
    const std::uint64_t row = std::max<std::uint64_t>(row_elements(merge()), 1);
    return std::max<std::uint64_t>(kStudyBlockElements / row, 1) * row;
  }
  std::uint64_t part_elements() const override {
    return kStudyPartElements / kStudyBlockElements * block_elements();
  }
  std::uint64_t memory_bytes() const override {
    std::uint64_t out = 4096;
    for (const Search& search : searches_) out += search.keys->memory_bytes();
    return out;
  }

  Result<bool> next_pass() override {
    bool searches = false;
    for (Search& search : searches_) {
      KILTER_ASSIGN(const bool more, search.keys->next_pass());
      searches = searches || more;
    }
    if (searches) return true;
    for (const Search& search : std::exchange(searches_, {})) take_cuts(search);
    if (!std::exchange(wants_sums_, false)) return false;
    sums_.assign(merge().terms.size(), std::vector<Sums>(part_count()));
    ranks_ = row_ranks_of(merge(), thinner_);
    return true;
  }

  Status add(const StudyBlock& block) override {
    for (Search& search : searches_) search.keys->add(block);
    if (searches_.empty()) return add_sums(block);
    return ok();
  }

  Result<std::shared_ptr<const Kernel>> finish() override {
    const double whole = 1;
    if (merge().terms.empty()) return blend_inputs(merge(), std::span(&whole, 1));
    for (std::size_t i = 0; i < sums_.size(); ++i) {
      Sums sum;
      for (const Sums& part : sums_[i]) sum = {sum.before + part.before, sum.after + part.after};
      if (rescales(i) && sum.after > 0) thinner_.terms()[i].factor = sum.before / sum.after;
    }
    GtaRules rules;
    rules.elects_sign = traits_.elects_sign;
    rules.elects_unweighted = traits_.elects_sign && is_paper();
    rules.normalize = merge().parameters.normalize;
    rules.lambda = merge().parameters.lambda;
    return std::make_shared<MergeKernel>(
        merge(), std::make_unique<GtaFormula>(merge(), std::move(thinner_), rules));
  }

 private:
  struct Search {
    std::size_t term = 0;
    std::unique_ptr<KeySearches> keys;
    std::size_t bottom = 0, top = 0;
  };
  struct Sums {
    double before = 0, after = 0;  // of magnitudes
  };

  bool is_paper() const { return merge().compat == MergeCompat::kPaper; }
  bool rescales(std::size_t term) const {
    return !is_paper() && merge().parameters.rescale && thinner_.terms()[term].by != By::kNothing;
  }

  void plan_term(std::size_t term, std::uint64_t memory_bytes_max) {
    const TermParameters& own = merge().terms[term].parameters;
    TermThinning& how = thinner_.terms()[term];
    if (own.density >= 1 || reader().elements() == 0) return;
    how.by = own.density <= 0 ? By::kRank : traits_.by;
    if (how.by == By::kRank) plan_search(term, memory_bytes_max);
    if (how.by == By::kChance) how.limit = limit_of_chance(own.density);
    if (how.by == By::kRankedChance) plan_ranks(own, how);
    // The papers make up for what is dropped by the chance of being kept.
    if (is_paper() && merge().parameters.rescale && how.by == By::kChance)
      how.factor = 1 / own.density;
    wants_sums_ = wants_sums_ || rescales(term);
  }

  /// The tool spreads chances by epsilon to both sides; the paper's epsilon is the whole width.
  void plan_ranks(const TermParameters& own, TermThinning& how) const {
    const double reach = is_paper() ? own.epsilon / 2 : own.epsilon;
    how.ranked = {std::max(own.density - reach, 0.0), std::min(own.density + reach, 1.0)};
    how.divides_by_chance = is_paper() && merge().parameters.rescale;
  }

  void plan_search(std::size_t term, std::uint64_t memory_bytes_max) {
    const TermParameters& own = merge().terms[term].parameters;
    const std::uint64_t elements = reader().elements();
    const std::uint64_t kept = own.density <= 0 ? 0 : share_of(own.density, elements);
    std::uint64_t top = traits_.drops_largest && kept > 0 ? share_of(own.gamma, elements) : 0;
    top = std::min(top, elements - kept);
    Search search;
    search.term = term;
    search.keys = std::make_unique<KeySearches>(
        reader(), task_vector_keys(reader(), term, thinner_.is_wide(term)));
    const std::uint64_t each = memory_bytes_max / (top > 0 ? 2 : 1);
    search.bottom = search.keys->search(top + kept, each);
    search.top = search.keys->search(top, each);
    searches_.push_back(std::move(search));
  }

  void take_cuts(const Search& search) {
    thinner_.terms()[search.term].bottom = search.keys->cut(search.bottom);
    thinner_.terms()[search.term].top = search.keys->cut(search.top);
  }

  Status add_sums(const StudyBlock& block) {
    TileBounds bounds;
    if (ranks_ != nullptr) {
      const KernelTile tile{0, {}, block.inputs};
      KILTER_ASSIGN(bounds, ranks_->of_tile(tile, block.first, block.count));
    }
    std::array<double, kMergeBlockElements> base, x;
    const auto part = static_cast<std::size_t>(block.first / part_elements());
    for (std::size_t at = 0; at < block.count; at += kMergeBlockElements) {
      const std::size_t some = std::min(kMergeBlockElements, block.count - at);
      reader().widen(block, 0, at, some, base.data());
      for (std::size_t i = 0; i < sums_.size(); ++i) {
        if (!rescales(i)) continue;
        reader().widen(block, i + 1, at, some, x.data());
        const KeptSums sums =
            thinner_.sums(i, block.first + at, some, base.data(),
                          bounds.empty() ? nullptr : bounds[i].data() + at, x.data());
        sums_[i][part].before += sums.all;
        sums_[i][part].after += sums.kept;
      }
    }
    return ok();
  }

  GtaTraits traits_;
  Thinner thinner_;
  std::vector<Search> searches_;
  bool wants_sums_ = false;
  std::vector<std::vector<Sums>> sums_;  // by term, by part
  std::unique_ptr<const RowRanks> ranks_;
};

Status check_rows(const TensorMerge& merge) {
  if (gta_traits(merge.method).by != By::kRankedChance ||
      row_elements(merge) <= kRankedRowElementsMax)
    return ok();
  Error error(ErrorCode::kUnsupported, fmt::format("{} ranks rows as a whole, and these are long",
                                                   merge_method_name(merge.method)));
  error.tensor = merge.name;
  error.found = fmt::format("{} elements", row_elements(merge));
  error.expected = fmt::format("at most {}", kRankedRowElementsMax);
  return fail(std::move(error));
}

}  // namespace

Result<std::unique_ptr<MergeStudy>> study_task_vectors(const TensorMerge& merge,
                                                       std::uint64_t memory_bytes_max) {
  KILTER_TRY(check_rows(merge));
  return std::make_unique<GtaStudy>(merge, memory_bytes_max);
}

}  // namespace kilter::ops
