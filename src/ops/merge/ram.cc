#include <algorithm>
#include <array>
#include <bit>
#include <mutex>

#include "ops/merge/element_studies.h"
#include "ops/merge/kernels/merge_lanes.h"
#include "ops/merge/kernels/selection_lanes.h"
#include "ops/merge/linear_study.h"
#include "ops/merge/merge_kernel.h"

namespace kilter::ops {
namespace {

using TermKeys = std::array<std::uint32_t, kMergeBlockElements>;

bool ram_is_wide(const TensorMerge& merge, std::size_t term) {
  return merge.base->dtype == DType::kF64 || merge.terms[term].dtype == DType::kF64;
}

std::uint32_t ram_key_limit(const TensorMerge& merge) {
  return std::bit_cast<std::uint32_t>(static_cast<float>(merge.parameters.ram_epsilon));
}

/// The mean of the changes of those that changed an element; what one alone changed is enlarged by
/// its factor.
class RamFormula : public MergeFormula {
 public:
  RamFormula(const TensorMerge& merge, std::vector<double> factors)
      : limit_(ram_key_limit(merge)), factors_(std::move(factors)) {
    for (std::size_t i = 0; i < factors_.size(); ++i) wide_.push_back(ram_is_wide(merge, i));
  }
  std::size_t scratch_count() const override { return 3; }

  void run(const FormulaBlock& block) const override {
    double* const sum = block.scratch[0];
    double* const count = block.scratch[1];
    double* const factor = block.scratch[2];  // of the last that changed it
    for (double* const values : block.scratch) std::fill_n(values, block.count, 0.0);
    TermKeys keys;
    for (std::size_t t = 0; t < factors_.size(); ++t) {
      double* const x = block.terms[t];
      delta_keys(x, block.base, block.count, wide_[t], keys.data());
      subtract(block.base, block.count, x);
      for (std::size_t i = 0; i < block.count; ++i) {
        const bool changed = keys[i] > limit_;
        sum[i] += changed ? x[i] : 0.0;
        count[i] += changed ? 1.0 : 0.0;
        factor[i] = changed ? factors_[t] : factor[i];
      }
    }
    for (std::size_t i = 0; i < block.count; ++i) {
      const double mean = sum[i] / std::max(count[i], 1.0);
      block.out[i] = block.base[i] + (count[i] == 1 ? factor[i] * mean : mean);
    }
  }

 private:
  std::uint32_t limit_;
  std::vector<double> factors_;
  std::vector<bool> wide_;
};

class RamStudy : public MergeStudy {
 public:
  explicit RamStudy(const TensorMerge& merge)
      : MergeStudy(merge),
        counts_(merge.terms.size()),
        wants_counts_(merge.method == MergeMethod::kRamPlus) {}
  Result<bool> next_pass() override { return std::exchange(wants_counts_, false); }

  Status add(const StudyBlock& block) override {
    const std::size_t terms = counts_.size();
    std::vector<TermKeys> keys(terms);
    std::vector<Counts> counts(terms);
    std::array<double, kMergeBlockElements> base, x;
    const std::uint32_t limit = ram_key_limit(merge());
    for (std::size_t at = 0; at < block.count; at += kMergeBlockElements) {
      const std::size_t some = std::min(kMergeBlockElements, block.count - at);
      reader().widen(block, 0, at, some, base.data());
      for (std::size_t t = 0; t < terms; ++t) {
        reader().widen(block, t + 1, at, some, x.data());
        delta_keys(x.data(), base.data(), some, ram_is_wide(merge(), t), keys[t].data());
      }
      for (std::size_t i = 0; i < some; ++i) count_element(keys, i, limit, counts);
    }
    const std::lock_guard guard(mutex_);
    for (std::size_t t = 0; t < terms; ++t) {
      counts_[t].shared += counts[t].shared;
      counts_[t].unique += counts[t].unique;
    }
    return ok();
  }

  Result<std::shared_ptr<const Kernel>> finish() override {
    const MergeParameters& own = merge().parameters;
    std::vector<double> factors;
    for (const Counts& count : counts_) {
      const double overlap =
          count.unique == 0 ? 0
                            : static_cast<double>(count.shared) / static_cast<double>(count.unique);
      const bool plus = merge().method == MergeMethod::kRamPlus;
      factors.push_back(plus ? 1 + own.ram_r * std::clamp(overlap, 0.0, own.ram_alpha) : 1.0);
    }
    return std::make_shared<MergeKernel>(merge(),
                                         std::make_unique<RamFormula>(merge(), std::move(factors)));
  }

 private:
  struct Counts {
    std::uint64_t shared = 0, unique = 0;  // elements that others changed too, or nobody else
  };

  static void count_element(const std::vector<TermKeys>& keys, std::size_t i, std::uint32_t limit,
                            std::vector<Counts>& counts) {
    std::size_t changes = 0;
    for (const TermKeys& term : keys) changes += term[i] > limit ? 1U : 0U;
    for (std::size_t t = 0; t < keys.size(); ++t) {
      const std::uint64_t changed = keys[t][i] > limit ? 1 : 0;
      counts[t].shared += changes > 1 ? changed : 0;
      counts[t].unique += changes == 1 ? changed : 0;
    }
  }

  std::mutex mutex_;
  std::vector<Counts> counts_;
  bool wants_counts_;
};

}  // namespace

std::unique_ptr<MergeStudy> study_ram(const TensorMerge& merge) {
  return std::make_unique<RamStudy>(merge);
}

}  // namespace kilter::ops
