#include "ops/merge/merge_kernel.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/try.h"
#include "tensor/kernels/float_values.h"

namespace kilter::ops {
namespace {

std::size_t merge_element_bytes(DType dtype) { return dtype_row(dtype).bits / 8U; }

}  // namespace

Result<TileBounds> MergeFormula::begin_tile(const KernelTile& tile, std::uint64_t first,
                                            std::size_t count) const {
  (void)tile;
  (void)first;
  (void)count;
  return TileBounds{};
}

/// One allocation for a tile.
struct MergeKernel::Buffers {
  Buffers(std::size_t inputs, std::size_t scratch, bool has_base)
      : memory((inputs + scratch + 1) * kMergeBlockElements) {
    double* at = memory.data();
    const auto next = [&at] { return std::exchange(at, at + kMergeBlockElements); };
    if (has_base) base = next();
    for (std::size_t i = has_base ? 1 : 0; i < inputs; ++i) terms.push_back(next());
    for (std::size_t i = 0; i < scratch; ++i) spare.push_back(next());
    out = next();
  }

  std::vector<double> memory;
  double* base = nullptr;
  double* out = nullptr;
  std::vector<double*> terms, spare;
  std::vector<const std::uint32_t*> limits;
};

MergeKernel::MergeKernel(const TensorMerge& merge, std::unique_ptr<const MergeFormula> formula)
    : tensor_(merge.name),
      method_(merge.method),
      to_(merge.to),
      has_base_(merge.base.has_value()),
      allow_too_large_(merge.allow_too_large),
      allow_not_finite_(merge.allow_not_finite),
      formula_(std::move(formula)) {
  if (merge.base) inputs_.push_back({merge.base->dtype, merge.base->path});
  for (const MergeTerm& term : merge.terms) inputs_.push_back({term.dtype, term.path});
}

Status MergeKernel::run(const KernelTile& tile) const {
  const std::size_t elements = tile.out.size() / merge_element_bytes(to_);
  const std::uint64_t start = tile.offset_bytes / merge_element_bytes(to_);
  KILTER_ASSIGN(const TileBounds bounds, formula_->begin_tile(tile, start, elements));
  Buffers buffers(inputs_.size(), formula_->scratch_count(), has_base_);
  for (std::size_t first = 0; first < elements; first += kMergeBlockElements)
    KILTER_TRY(run_block(tile, first, bounds, buffers));
  return ok();
}

Status MergeKernel::run_block(const KernelTile& tile, std::size_t first, const TileBounds& bounds,
                              Buffers& buffers) const {
  const std::size_t elements = tile.out.size() / merge_element_bytes(to_);
  const std::size_t count = std::min(kMergeBlockElements, elements - first);
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    const bool is_base = has_base_ && i == 0;
    double* const to = is_base ? buffers.base : buffers.terms[i - (has_base_ ? 1 : 0)];
    const DType dtype = inputs_[i].dtype;
    widen_floats(dtype, tile.inputs[i].data() + first * merge_element_bytes(dtype), count, to);
  }
  buffers.limits.clear();
  for (const auto& bound : bounds) buffers.limits.push_back(bound.data() + first);
  FormulaBlock block;
  block.first = tile.offset_bytes / merge_element_bytes(to_) + first;
  block.count = count;
  block.base = buffers.base;
  block.terms = buffers.terms;
  block.scratch = buffers.spare;
  block.out = buffers.out;
  block.limits = buffers.limits;
  formula_->run(block);
  KILTER_TRY(check(tile, first, std::span(buffers.out, count)));
  narrow_floats(to_, buffers.out, count, tile.out.data() + first * merge_element_bytes(to_));
  return ok();
}

Status MergeKernel::check(const KernelTile& tile, std::size_t first,
                          std::span<const double> out) const {
  const RangeCounts counts = count_range(to_, out);
  if (counts.not_finite != 0 && !allow_not_finite_)
    return fail(not_finite(tile, first, out.size()));
  if (counts.too_large == 0 || allow_too_large_) return ok();
  const auto worst = std::ranges::max(
      out, {}, [](double value) { return std::isfinite(value) ? std::fabs(value) : 0.0; });
  Error error(ErrorCode::kOutOfRange, fmt::format("numbers are too large for {}", dtype_name(to_)));
  error.tensor = tensor_;
  error.found = fmt::format("{:g}", worst);
  error.hint = "merge into a wider dtype, or give --allow overflow";
  return fail(std::move(error));
}

Error MergeKernel::not_finite(const KernelTile& tile, std::size_t first, std::size_t count) const {
  std::array<double, kMergeBlockElements> values;
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    const DType dtype = inputs_[i].dtype;
    widen_floats(dtype, tile.inputs[i].data() + first * merge_element_bytes(dtype), count,
                 values.data());
    if (count_range(DType::kF64, std::span(values).first(count)).not_finite == 0) continue;
    Error error(ErrorCode::kMalformed, "weights are NaN or infinite");
    error.tensor = tensor_;
    error.path = inputs_[i].path;
    error.hint = "give --allow nonfinite to merge them all the same";
    return error;
  }
  Error error(ErrorCode::kOutOfRange, "the merge gives numbers that are none");
  error.tensor = tensor_;
  error.hint = "look at the recipe's weights and lambda, or give --allow nonfinite";
  return error;
}

}  // namespace kilter::ops
