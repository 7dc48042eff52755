// Runs a method's formula over the elements of a tile.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ops/merge/tensor_merge.h"

namespace kilter::ops {

/// Elements computed at a time: a handful of such buffers of doubles stays in the second cache.
inline constexpr std::size_t kMergeBlockElements = 1024;

/// The same elements of each input, widened.
struct FormulaBlock {
  std::uint64_t first = 0;  ///< element of the tensor
  std::size_t count = 0;    ///< at most kMergeBlockElements
  const double* base = nullptr;
  std::span<double* const> terms;    ///< may be overwritten
  std::span<double* const> scratch;  ///< scratch_count() buffers of kMergeBlockElements
  double* out = nullptr;
  std::span<const std::uint32_t* const> limits;  ///< what begin_tile() found, if anything
};

/// What a formula has to know of a whole tile before its blocks: for each term, up to
/// which random number each element is kept.
using TileBounds = std::vector<std::vector<std::uint32_t>>;

/// A method's arithmetic for one tensor, all scalars known. Used by several threads at once.
class MergeFormula {
 public:
  virtual ~MergeFormula() = default;
  virtual std::size_t scratch_count() const { return 0; }
  /// `tile` begins at element `first`.
  virtual Result<TileBounds> begin_tile(const KernelTile& tile, std::uint64_t first,
                                        std::size_t count) const;
  /// An input that is not finite must leave a number that is not finite.
  virtual void run(const FormulaBlock& block) const = 0;
};

class MergeKernel : public Kernel {
 public:
  /// `merge` is kept without what only make_merge_kernels() reads.
  MergeKernel(const TensorMerge& merge, std::unique_ptr<const MergeFormula> formula);
  std::string name() const override { return std::string(merge_method_name(method_)); }
  /// Errors: kOutOfRange where a finite number becomes none, kMalformed where an input has NaN or
  /// an infinity, unless allowed.
  Status run(const KernelTile& tile) const override;

 private:
  struct Input {
    DType dtype = DType::kF32;
    std::string path;
  };
  struct Buffers;
  Status run_block(const KernelTile& tile, std::size_t first, const TileBounds& bounds,
                   Buffers& buffers) const;
  Status check(const KernelTile& tile, std::size_t first, std::span<const double> out) const;
  Error not_finite(const KernelTile& tile, std::size_t first, std::size_t count) const;

  std::string tensor_;
  MergeMethod method_;
  DType to_;
  bool has_base_, allow_too_large_, allow_not_finite_;
  std::vector<Input> inputs_;  // base first, if there is one
  std::unique_ptr<const MergeFormula> formula_;
};

}  // namespace kilter::ops
