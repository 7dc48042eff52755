#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "base/try.h"
#include "ops/merge/element_studies.h"
#include "ops/merge/kernels/selection_lanes.h"
#include "ops/merge/merge_kernel.h"
#include "ops/merge/row_ranks.h"
#include "ops/merge/task_vector_keys.h"

namespace kilter::ops {
namespace {

using FusionValues = std::array<double, kMergeBlockElements>;

/// How far apart the softmax of two rows are: the sum of p (log p - log q), in one pass.
class RowDivergence {
 public:
  void add(const double* x, const double* base, std::size_t count) {
    raise(*std::max_element(x, x + count), *std::max_element(base, base + count));
    for (std::size_t i = 0; i < count; ++i) {
      const double share = std::exp(x[i] - x_largest_);
      x_sum_ += share;
      difference_sum_ += share * (x[i] - base[i]);
      base_sum_ += std::exp(base[i] - base_largest_);
    }
  }
  double value() const {
    const double x_log = x_largest_ + std::log(x_sum_);
    const double base_log = base_largest_ + std::log(base_sum_);
    return difference_sum_ / x_sum_ - (x_log - base_log);
  }

 private:
  void raise(double x, double base) {
    if (!(x <= x_largest_)) {
      const double by = std::exp(x_largest_ - x);
      x_sum_ *= by;
      difference_sum_ *= by;
      x_largest_ = x;
    }
    if (!(base <= base_largest_)) {
      base_sum_ *= std::exp(base_largest_ - base);
      base_largest_ = base;
    }
  }

  double x_largest_ = -std::numeric_limits<double>::infinity(), base_largest_ = x_largest_;
  double x_sum_ = 0, base_sum_ = 0, difference_sum_ = 0;
};

/// `x` becomes |x - base| times its row's divergence.
void to_importance(const double* base, std::uint64_t first, std::size_t count, std::uint64_t row,
                   const std::vector<double>& divergences, double* x) {
  for (std::size_t i = 0; i < count; ++i) {
    const double divergence = divergences[static_cast<std::size_t>((first + i) / row)];
    x[i] = std::fabs(x[i] - base[i]) * divergence;
  }
}

/// What matters is taken from the term, the rest from the base.
class FusionFormula : public MergeFormula {
 public:
  FusionFormula(std::uint64_t row, std::vector<double> divergences, double threshold)
      : row_(row), divergences_(std::move(divergences)), threshold_(threshold) {}
  std::size_t scratch_count() const override { return 1; }

  void run(const FormulaBlock& block) const override {
    std::array<std::uint32_t, kMergeBlockElements> keys;
    double* const importance = block.scratch[0];
    std::copy_n(block.terms[0], block.count, importance);
    to_importance(block.base, block.first, block.count, row_, divergences_, importance);
    magnitude_keys(importance, block.count, keys.data());
    for (std::size_t i = 0; i < block.count; ++i) {
      const bool matters = static_cast<double>(std::bit_cast<float>(keys[i])) >= threshold_;
      const double difference = block.terms[0][i] - block.base[i];
      block.out[i] = block.base[i] + difference * (matters ? 1.0 : 0.0);
    }
  }

 private:
  std::uint64_t row_;
  std::vector<double> divergences_;
  double threshold_;
};

class FusionStudy : public MergeStudy {
 public:
  FusionStudy(const TensorMerge& merge, std::uint64_t memory_bytes_max)
      : MergeStudy(merge),
        row_(std::max<std::uint64_t>(row_elements(merge), 1)),
        keys_(reader(), [this](const StudyBlock& block, std::span<std::uint32_t> keys) {
          make_keys(block, keys);
        }) {
    // The quartiles and the median as the tool takes them: elements, never between two.
    const std::uint64_t count = reader().elements();
    const auto from_above = [&](std::uint64_t from_below) {
      return count - std::max<std::uint64_t>(from_below, 1) + 1;
    };
    for (const std::uint64_t position : {count / 4, (count + 1) / 2, count - (count + 3) / 4})
      keys_.search(count == 0 ? 0 : from_above(position), memory_bytes_max / 3);
  }

  std::uint64_t part_elements() const override {
    return stage_ == Stage::kRows ? (kStudyPartElements + row_ - 1) / row_ * row_
                                  : kStudyPartElements;
  }
  std::uint64_t memory_bytes() const override {
    return keys_.memory_bytes() + reader().elements() / row_ * sizeof(double);
  }

  Result<bool> next_pass() override {
    if (stage_ == Stage::kStart) {
      stage_ = Stage::kRows;
      rows_.resize(static_cast<std::size_t>(part_count()));
      divergences_.resize(static_cast<std::size_t>(reader().elements() / row_));
      return true;
    }
    stage_ = Stage::kSelect;
    return keys_.next_pass();
  }

  Status add(const StudyBlock& block) override {
    if (stage_ == Stage::kRows)
      add_rows(block);
    else
      keys_.add(block);
    return ok();
  }

  Result<std::shared_ptr<const Kernel>> finish() override {
    const auto value = [&](std::size_t search) {
      return static_cast<double>(std::bit_cast<float>(keys_.cut(search).key));
    };
    const double threshold = value(1) + 1.5 * (value(2) - value(0));
    return std::make_shared<MergeKernel>(
        merge(), std::make_unique<FusionFormula>(row_, std::move(divergences_), threshold));
  }

 private:
  enum class Stage : std::uint8_t { kStart, kRows, kSelect };

  void add_rows(const StudyBlock& block) {
    RowDivergence& open = rows_[static_cast<std::size_t>(block.first / part_elements())];
    FusionValues base, x;
    for (std::size_t at = 0; at < block.count;) {
      const std::uint64_t element = block.first + at, left = row_ - element % row_;
      const auto some = static_cast<std::size_t>(
          std::min<std::uint64_t>({block.count - at, kMergeBlockElements, left}));
      reader().widen(block, 0, at, some, base.data());
      reader().widen(block, 1, at, some, x.data());
      open.add(x.data(), base.data(), some);
      if (some == left) {
        divergences_[static_cast<std::size_t>(element / row_)] = open.value();
        open = {};
      }
      at += some;
    }
  }

  void make_keys(const StudyBlock& block, std::span<std::uint32_t> keys) const {
    FusionValues base, x;
    for (std::size_t at = 0; at < block.count; at += kMergeBlockElements) {
      const std::size_t some = std::min(kMergeBlockElements, block.count - at);
      reader().widen(block, 0, at, some, base.data());
      reader().widen(block, 1, at, some, x.data());
      to_importance(base.data(), block.first + at, some, row_, divergences_, x.data());
      magnitude_keys(x.data(), some, keys.data() + at);
    }
  }

  std::uint64_t row_;
  Stage stage_ = Stage::kStart;
  std::vector<RowDivergence> rows_;  // by part: the row at hand
  std::vector<double> divergences_;  // by row
  KeySearches keys_;
};

}  // namespace

std::unique_ptr<MergeStudy> study_fusion(const TensorMerge& merge, std::uint64_t memory_bytes_max) {
  return std::make_unique<FusionStudy>(merge, memory_bytes_max);
}

}  // namespace kilter::ops
