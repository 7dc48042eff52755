// The arithmetic of casts and linear blends.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "kilter/dtype.h"

#include "base/counter_random.h"
#include "flow/plan.h"
#include "ops/slim/scale_grid.h"
#include "tensor/kernels/difference_sums.h"
#include "tensor/kernels/float_values.h"

namespace kilter::ops {

/// What rounding did to one tensor; from several threads. Sums are added as tiles come, so their
/// last digits may differ from run to run: for reports, never for what is written.
class RoundingError {
 public:
  /// `wanted` became `got`.
  void add(std::span<const double> wanted, std::span<const double> got, std::uint64_t too_large);
  std::uint64_t too_large() const { return too_large_; }
  double largest() const { return sums_.largest; }
  double rms() const;
  double cosine() const;
  RoundingError& operator+=(const RoundingError& other);

 private:
  std::mutex mutex_;
  DifferenceSums sums_;
  std::uint64_t too_large_ = 0;
};

/// One output tensor: the weighted sum of the same elements of each input, rounded once.
struct BlendTerm {
  DType dtype = DType::kF32;
  double weight = 1;
  std::string path;               ///< of the input, for messages
  SharedScales scales = nullptr;  ///< that its elements are multiplied with first; null: none

  bool operator==(const BlendTerm&) const = default;
};
struct BlendRules {
  std::string tensor;
  DType to = DType::kF32;
  std::vector<BlendTerm> terms;
  bool allow_too_large = false;
  bool allow_not_finite = false;
  RoundingError* error = nullptr;  ///< measured where it is given
  SharedScales scales;             ///< that the sum is divided by before it is rounded; null: none
  /// Added to the sum before it is rounded: deviation * normal number of the element.
  std::optional<CounterRandom> noise = std::nullopt;
  double noise_deviation = 0;
};

class BlendKernel : public Kernel {
 public:
  explicit BlendKernel(BlendRules rules) : rules_(std::move(rules)) {}
  std::string name() const override { return rules_.terms.size() == 1 ? "cast" : "blend"; }
  /// Errors: kOutOfRange where a finite number becomes none, kMalformed where an input has NaN or
  /// an infinity, unless allowed.
  Status run(const KernelTile& tile) const override;
  bool same_as(const Kernel& other) const override;

  const BlendRules& rules() const { return rules_; }
  /// The last part: noise, checks and rounding of sums, of elements from `first_element` on.
  /// Errors: as run(), without the path of the input that is not finite.
  Status finish(std::uint64_t first_element, std::span<double> sum, std::span<std::byte> out) const;

 private:
  Status run_block(const KernelTile& tile, std::size_t first, std::size_t count) const;
  Status finish_block(std::uint64_t element, std::span<double> sum, std::byte* out) const;
  void add_noise(std::uint64_t first_element, std::span<double> sum) const;
  Status check(std::span<const double> sum, const RangeCounts& counts) const;
  std::string path_not_finite(const KernelTile& tile, std::size_t first, std::size_t count) const;
  BlendRules rules_;
};

/// Tensors that are no numbers to blend: copies the first input and wants the others to be the
/// same.
class EqualKernel : public Kernel {
 public:
  EqualKernel(std::string tensor, std::vector<std::string> paths)
      : tensor_(std::move(tensor)), paths_(std::move(paths)) {}
  std::string name() const override { return "equal"; }
  Status run(const KernelTile& tile) const override;
  bool same_as(const Kernel& other) const override {
    return dynamic_cast<const EqualKernel*>(&other) != nullptr;
  }

 private:
  std::string tensor_;
  std::vector<std::string> paths_;
};

}  // namespace kilter::ops
