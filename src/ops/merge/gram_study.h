// Methods that bend: their results lie in the span of the inputs, with coefficients that the
// inputs' inner products say.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ops/merge/merge_study.h"

namespace kilter::ops {

/// Inner products of some vectors.
class Gram {
 public:
  explicit Gram(std::size_t vectors) : vectors_(vectors), sums_(vectors * vectors) {}
  std::size_t vectors() const { return vectors_; }
  double& at(std::size_t a, std::size_t b) { return sums_[a * vectors_ + b]; }
  double at(std::size_t a, std::size_t b) const {
    return a <= b ? sums_[a * vectors_ + b] : sums_[b * vectors_ + a];  // the upper half is filled
  }
  double norm(std::size_t a) const;
  Gram& operator+=(const Gram& other);

 private:
  std::size_t vectors_;
  std::vector<double> sums_;
};

/// One factor for each vector; the result is their sum. Source: docs/merge-methods.md.
std::vector<double> slerp_shares(const Gram& gram, double t);
std::vector<double> nuslerp_shares(const Gram& gram, std::span<const double> weights);
/// `weights` as they count: normalized, if they shall be.
std::vector<double> multislerp_shares(const Gram& gram, std::span<const double> weights,
                                      double epsilon, MergeCompat compat);
std::vector<double> karcher_shares(const Gram& gram, std::span<const double> weights,
                                   std::uint32_t max_iterations, double tolerance);
std::vector<double> model_stock_shares(const Gram& gram, MergeCompat compat);

/// The shares of the method's vectors: the terms, or (term - base) where the method is one of task
/// vectors and there is a base; for slerp the base and the term.
std::vector<double> shares_of(const TensorMerge& merge, const Gram& gram);
bool uses_task_vectors(const TensorMerge& merge);

/// slerp, nuslerp, multislerp, karcher, model_stock: over whole tensors.
std::unique_ptr<MergeStudy> study_gram(const TensorMerge& merge);
/// nuslerp and model_stock, row by row or column by column.
std::unique_ptr<MergeStudy> study_line_grams(const TensorMerge& merge);

}  // namespace kilter::ops
