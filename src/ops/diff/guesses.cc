#include "ops/diff/guesses.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace kilter::ops {
namespace {

// A fit counts where little is left beside it, or no more than rounding leaves (twice, as sums in
// narrow dtypes round more than once). Where that is most of the difference nothing can be told.
constexpr double kFitResidual = 0.02, kFitRounding = 2, kFitResidualMax = 0.7;
// Tensors lie on one line if their shares differ by less.
constexpr double kOneShare = 0.02;

bool can_tell(const Interpolation& one) { return kFitRounding * one.rounding <= kFitResidualMax; }

bool is_fit(const Interpolation& one) {
  return one.residual <= std::max(kFitResidual, kFitRounding * one.rounding);
}

std::string residual_text(const Interpolation& one, DType dtype) {
  std::string out = fmt::format("{:.3g} % of the difference is left", 100 * one.residual);
  if (one.residual > 1e-6 && one.residual <= kFitRounding * one.rounding)
    out += fmt::format(", as rounding to {} leaves", dtype_name(dtype));
  return out;
}

std::string untold_text(std::size_t count) {
  return count == 0 ? "" : fmt::format(" (of {} more rounding leaves too little to tell)", count);
}

void guess_interpolation(CheckpointDiff& diff) {
  if (!diff.against || diff.against->compared == 0) return;
  std::size_t fitting = 0, told = 0;
  double least = 0, most = 0;
  DType dtype = DType::kF32;
  for (const TensorDiff& row : diff.tensors) {
    if (!row.interpolation || !can_tell(*row.interpolation)) continue;
    ++told;
    if (!is_fit(*row.interpolation)) continue;
    dtype = row.dtype_b;
    least = fitting == 0 ? row.interpolation->t : std::min(least, row.interpolation->t);
    most = fitting == 0 ? row.interpolation->t : std::max(most, row.interpolation->t);
    ++fitting;
  }
  const Interpolation& total = diff.against->total;
  const bool most_fit = told > 0 && 10 * fitting >= 9 * told;
  if (is_fit(total) && can_tell(total) && most_fit) {
    const bool between = total.t >= 0 && total.t <= 1;
    diff.guesses.push_back(
        fmt::format("{} of A and C at {:.3g}: {} of {} changed tensors lie on the line{}, {}",
                    between ? "interpolation" : "extrapolation", total.t, fitting, told,
                    untold_text(diff.against->compared - told), residual_text(total, dtype)));
  } else if (most_fit && most - least > kOneShare) {
    diff.guesses.push_back(
        fmt::format("interpolation of A and C at another share in each tensor, from {:.3g} to "
                    "{:.3g}: {} of {} changed tensors lie on their lines{}",
                    least, most, fitting, told, untold_text(diff.against->compared - told)));
  }
}

void guess_adapter(CheckpointDiff& diff) {
  std::map<std::uint64_t, std::size_t> ranks;
  std::size_t looked_at = 0, low = 0;
  for (const TensorDiff& row : diff.tensors) {
    if (!row.spectrum) continue;
    ++looked_at;
    if (row.spectrum->rank == 0) continue;
    ++low;
    ++ranks[row.spectrum->rank];
  }
  if (looked_at == 0 || 4 * low < 3 * looked_at) return;
  const auto common =
      std::ranges::max_element(ranks, {}, [](const auto& entry) { return entry.second; });
  std::string guess;
  if (ranks.size() == 1)
    guess = fmt::format("a merged LoRA of rank {}", common->first);
  else
    guess = fmt::format("a merged LoRA of ranks {} to {} (mostly {})", ranks.begin()->first,
                        ranks.rbegin()->first, common->first);
  diff.guesses.push_back(guess + fmt::format(": {} of {} changed matrices looked at differ by so "
                                             "few directions, and what rounding leaves",
                                             low, looked_at));
}

}  // namespace

void guess_origin(CheckpointDiff& diff) {
  guess_interpolation(diff);
  guess_adapter(diff);
}

}  // namespace kilter::ops
