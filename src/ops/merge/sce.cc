#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>

#include "base/try.h"
#include "ops/merge/element_studies.h"
#include "ops/merge/kernels/merge_lanes.h"
#include "ops/merge/kernels/selection_lanes.h"
#include "ops/merge/linear_study.h"
#include "ops/merge/merge_kernel.h"
#include "ops/merge/task_vector_keys.h"
#include "tensor/kernels/float_values.h"

namespace kilter::ops {
namespace {

constexpr double kSceSmallestSum = 1e-6;

/// Keys of the variance over the task vectors, which the terms become.
void variance_keys(const double* base, std::span<double* const> terms, std::size_t count,
                   double* mean, double* variance, std::uint32_t* keys) {
  const double share = 1 / static_cast<double>(terms.size());
  std::fill_n(mean, count, 0.0);
  std::fill_n(variance, count, 0.0);
  for (double* const x : terms) {
    subtract(base, count, x);
    add(x, count, mean);
  }
  for (std::size_t i = 0; i < count; ++i) mean[i] *= share;
  for (const double* const x : terms) {
    for (std::size_t i = 0; i < count; ++i) {
      const double off = x[i] - mean[i];
      variance[i] += off * off;
    }
  }
  for (std::size_t i = 0; i < count; ++i) variance[i] *= share;
  magnitude_keys(variance, count, keys);
}

/// Select by variance, calculate weights, erase minorities.
class SceFormula : public MergeFormula {
 public:
  SceFormula(std::vector<double> weights, RankCut cut) : weights_(std::move(weights)), cut_(cut) {}
  std::size_t scratch_count() const override { return 3; }

  void run(const FormulaBlock& block) const override {
    std::array<std::uint32_t, kMergeBlockElements> keys;
    double* const total = block.scratch[0];
    double* const sum = block.scratch[1];
    double* const divisor = block.scratch[2];
    variance_keys(block.base, block.terms, block.count, total, sum, keys.data());
    std::fill_n(total, block.count, 0.0);
    for (double* const x : block.terms) {
      keep_between(keys.data(), block.first, block.count, cut_, kCutNone, x);
      add(x, block.count, total);
    }
    std::fill_n(sum, block.count, 0.0);
    std::fill_n(divisor, block.count, 0.0);
    for (std::size_t t = 0; t < weights_.size(); ++t)
      add_agreeing(block.terms[t], total, weights_[t], weights_[t], block.count, sum, divisor);
    for (std::size_t i = 0; i < block.count; ++i)
      divisor[i] = std::max(divisor[i], kSceSmallestSum);
    add_divided_sum(block.base, 1, sum, divisor, total, block.count, block.out);
  }

 private:
  std::vector<double> weights_;
  RankCut cut_;
};

class SceStudy : public MergeStudy {
 public:
  SceStudy(const TensorMerge& merge, std::uint64_t memory_bytes_max)
      : MergeStudy(merge),
        memory_bytes_max_(memory_bytes_max),
        keys_(reader(), [this](const StudyBlock& block, std::span<std::uint32_t> keys) {
          each(block, [&](std::size_t at, std::size_t count, Buffers& buffers) {
            std::copy_n(buffers.keys.begin(), count,
                        keys.begin() + static_cast<std::ptrdiff_t>(at));
          });
        }) {
    if (merge.terms.empty()) stage_ = Stage::kDone;
    if (merge.parameters.select_topk >= 1) stage_ = Stage::kSelect;
  }
  /// Of the search that is yet to come.
  std::uint64_t memory_bytes() const override {
    return RankSearch(1, reader().elements(), memory_bytes_max_).memory_bytes();
  }

  Result<bool> next_pass() override {
    if (stage_ == Stage::kStart) {
      stage_ = Stage::kCount;
      return true;
    }
    if (stage_ == Stage::kCount) {
      const double wanted = static_cast<double>(varied_) * merge().parameters.select_topk;
      keys_.search(static_cast<std::uint64_t>(std::max(wanted, 0.0)), memory_bytes_max_);
      stage_ = Stage::kSelect;
      selects_ = true;
    }
    if (stage_ == Stage::kSelect) {
      KILTER_ASSIGN(const bool more, keys_.next_pass());
      if (more) return true;
      if (selects_) cut_ = keys_.cut(0);
      stage_ = Stage::kSum;
      squares_.assign(part_count(), std::vector<double>(merge().terms.size()));
      return true;
    }
    stage_ = Stage::kDone;
    return false;
  }

  Status add(const StudyBlock& block) override {
    if (stage_ == Stage::kSelect) keys_.add(block);
    if (stage_ == Stage::kCount) {
      std::uint64_t varied = 0;
      each(block, [&](std::size_t, std::size_t count, Buffers& buffers) {
        varied += count - static_cast<std::size_t>(std::count(
                              buffers.keys.begin(),
                              buffers.keys.begin() + static_cast<std::ptrdiff_t>(count), 0U));
      });
      varied_ += varied;
    }
    if (stage_ == Stage::kSum) {
      std::vector<double>& sums = squares_[static_cast<std::size_t>(block.first / part_elements())];
      each(block, [&](std::size_t at, std::size_t count, Buffers& buffers) {
        for (std::size_t t = 0; t < sums.size(); ++t) {
          double* const x = buffers.terms[t];
          keep_between(buffers.keys.data(), block.first + at, count, cut_, kCutNone, x);
          sums[t] += dot(x, x, count);
        }
      });
    }
    return ok();
  }

  Result<std::shared_ptr<const Kernel>> finish() override {
    const double whole = 1;
    if (merge().terms.empty()) return blend_inputs(merge(), std::span(&whole, 1));
    std::vector<double> weights(merge().terms.size());
    for (const auto& part : squares_)
      for (std::size_t t = 0; t < weights.size(); ++t) weights[t] += part[t];
    double sum = 0;
    for (double& weight : weights) sum += weight /= static_cast<double>(reader().elements());
    // Below its floor the tool gives all the same weight.
    const double floor = merge().compat == MergeCompat::kMergekit ? kSceSmallestSum : 0;
    for (double& weight : weights)
      weight = sum > floor ? weight / sum : 1 / static_cast<double>(weights.size());
    return std::make_shared<MergeKernel>(merge(),
                                         std::make_unique<SceFormula>(std::move(weights), cut_));
  }

 private:
  enum class Stage : std::uint8_t { kStart, kCount, kSelect, kSum, kDone };
  struct Buffers {
    explicit Buffers(std::size_t count) : memory((count + 3) * kMergeBlockElements) {
      for (std::size_t i = 0; i < count; ++i) terms.push_back(at(i + 3));
    }
    double* at(std::size_t i) { return memory.data() + i * kMergeBlockElements; }
    std::vector<double> memory;
    std::vector<double*> terms;  // task vectors
    std::array<std::uint32_t, kMergeBlockElements> keys;
  };

  /// Calls `use` for each run of a block, with its task vectors and keys.
  template <typename Use>
  void each(const StudyBlock& block, Use use) const {
    Buffers buffers(merge().terms.size());
    for (std::size_t at = 0; at < block.count; at += kMergeBlockElements) {
      const std::size_t some = std::min(kMergeBlockElements, block.count - at);
      reader().widen(block, 0, at, some, buffers.at(0));
      for (std::size_t t = 0; t < buffers.terms.size(); ++t)
        reader().widen(block, t + 1, at, some, buffers.terms[t]);
      variance_keys(buffers.at(0), buffers.terms, some, buffers.at(1), buffers.at(2),
                    buffers.keys.data());
      use(at, some, buffers);
    }
  }

  std::uint64_t memory_bytes_max_;
  KeySearches keys_;
  Stage stage_ = Stage::kStart;
  bool selects_ = false;
  std::atomic<std::uint64_t> varied_{0};
  RankCut cut_ = kCutAll;
  std::vector<std::vector<double>> squares_;  // by part, by term
};

}  // namespace

std::unique_ptr<MergeStudy> study_sce(const TensorMerge& merge, std::uint64_t memory_bytes_max) {
  return std::make_unique<SceStudy>(merge, memory_bytes_max);
}

}  // namespace kilter::ops
