// Which elements of a tensor stay, and the kernel that sets the others to zero.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kilter/dtype.h"

#include "flow/plan.h"
#include "ops/weights/blend_kernel.h"

namespace kilter::ops {

/// Magnitudes as whole numbers in the same order: the bits without the sign, NaN above all.
/// `elements` are packed; `keys` has one for each.
void magnitude_keys(DType dtype, std::span<const std::byte> elements,
                    std::span<std::uint64_t> keys);
/// Bits that keys of this dtype have: 7, 15, 31 or 63.
unsigned magnitude_bits(DType dtype);

class PruneRule {
 public:
  virtual ~PruneRule() = default;
  /// Elements are decided in whole groups of so many neighbours.
  virtual std::size_t group() const { return 1; }
  /// `keep` of elements [first, first + keep.size()), of which these are the keys. `first` is a
  /// multiple of group(), and so is the count.
  virtual void decide(std::uint64_t first, std::span<const std::uint64_t> keys,
                      std::span<std::uint8_t> keep) const = 0;
};

/// Keeps what is larger than the threshold, and of what is equal the elements before `cut`.
class ThresholdRule : public PruneRule {
 public:
  ThresholdRule(std::uint64_t threshold, std::uint64_t cut) : threshold_(threshold), cut_(cut) {}
  void decide(std::uint64_t first, std::span<const std::uint64_t> keys,
              std::span<std::uint8_t> keep) const override;

 private:
  std::uint64_t threshold_, cut_;
};

/// Keeps the `keep` largest of each `group` neighbours; of equal ones the earlier.
class PatternRule : public PruneRule {
 public:
  PatternRule(std::size_t keep, std::size_t group) : keep_(keep), group_(group) {}
  std::size_t group() const override { return group_; }
  void decide(std::uint64_t first, std::span<const std::uint64_t> keys,
              std::span<std::uint8_t> keep) const override;

 private:
  std::size_t keep_, group_;
};

/// Keeps slices: element i lies in slice (i / inner) % slices.size().
class SliceRule : public PruneRule {
 public:
  SliceRule(std::uint64_t inner, std::vector<bool> kept) : inner_(inner), kept_(std::move(kept)) {}
  void decide(std::uint64_t first, std::span<const std::uint64_t> keys,
              std::span<std::uint8_t> keep) const override;

 private:
  std::uint64_t inner_;
  std::vector<bool> kept_;
};

/// What pruning did to one tensor; from several threads.
struct PruneCounts {
  std::atomic<std::uint64_t> zeros_before = 0, zeros_after = 0;
  RoundingError error;
};

/// Copies input 0 where it is kept and writes zero elsewhere; or writes what is kept, as bool. With
/// a rule, that decides; without one input 1, of bool or u8, does.
class PruneKernel : public Kernel {
 public:
  PruneKernel(DType dtype, PlanInput input, std::shared_ptr<const PruneRule> rule, bool as_mask,
              PruneCounts* counts)
      : dtype_(dtype),
        input_(std::move(input)),
        rule_(std::move(rule)),
        as_mask_(as_mask),
        counts_(counts) {}
  std::string name() const override { return as_mask_ ? "mask" : "prune"; }
  Status run(const KernelTile& tile) const override;

 private:
  Status run_block(const KernelTile& tile, std::size_t first, std::size_t count) const;
  Status decide_cut(std::uint64_t element, std::size_t skip, std::size_t whole,
                    std::span<std::uint8_t> keep) const;
  void write(const KernelTile& tile, std::size_t first, std::span<const std::uint8_t> keep) const;
  void measure(const std::byte* in, const std::byte* out, std::size_t count) const;

  DType dtype_;
  PlanInput input_;
  std::shared_ptr<const PruneRule> rule_;
  bool as_mask_;
  PruneCounts* counts_;
};

}  // namespace kilter::ops
