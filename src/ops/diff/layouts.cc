#include "ops/diff/layouts.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/try.h"
#include "flow/source.h"
#include "tensor/kernels/float_values.h"

namespace kilter::ops {
namespace {

constexpr std::uint64_t kLayoutSamples = 64, kHeadRowsMax = 512;
constexpr double kLayoutCosine = 0.9;

Result<std::vector<double>> sample(const WeightsInput& input, std::size_t tensor,
                                   std::uint64_t first, std::uint64_t count) {
  const DType dtype = input.info(tensor).dtype;
  const std::size_t width = dtype_row(dtype).bits / 8;
  std::vector<std::byte> bytes(static_cast<std::size_t>(count) * width);
  KILTER_TRY(input.checkpoint.source()->read_tensor(tensor, first * width, bytes));
  std::vector<double> out(static_cast<std::size_t>(count));
  widen_floats(dtype, bytes.data(), out.size(), out.data());
  return out;
}

double sample_cosine(std::span<const double> a, std::span<const double> b) {
  const DifferenceSums sums = difference_sums(a, b);
  const double norms = std::sqrt(sums.a_squares) * std::sqrt(sums.b_squares);
  return norms > 0 ? sums.dot / norms : 0;
}

}  // namespace

Result<std::optional<LayoutGuess>> guess_transposed(const TensorPair& pair) {
  const auto side = static_cast<std::uint64_t>(pair.input_a->info(pair.a).shape[0]);
  const std::uint64_t count = std::min(side, kLayoutSamples);
  const std::uint64_t row = side / 2;  // not the first: norms' and paddings' may be all alike
  KILTER_ASSIGN(const std::vector<double> from_a, sample(*pair.input_a, pair.a, row * side, count));
  std::vector<double> from_b;
  for (std::uint64_t i = 0; i < count; ++i) {
    KILTER_ASSIGN(const auto one, sample(*pair.input_b, pair.b, i * side + row, 1));
    from_b.push_back(one[0]);
  }
  if (sample_cosine(from_a, from_b) < kLayoutCosine) return std::nullopt;
  LayoutGuess guess;
  guess.view_b = {Layout::kTransposed, 0, side, side, 0};
  guess.name = "transposed";
  return guess;
}

Result<std::optional<LayoutGuess>> guess_rotary(const TensorPair& pair, bool meta_is_a) {
  const TensorInfo& info = pair.input_a->info(pair.a);
  const auto rows = static_cast<std::uint64_t>(info.shape[0]);
  const auto columns = static_cast<std::uint64_t>(info.shape[1]);
  if (rows < 4) return std::nullopt;
  // The second row of a head in Meta's order is the first of the other's second half.
  const std::uint64_t looked_at = std::min(columns, kLayoutSamples * 4);
  const auto of = [&](bool meta, std::uint64_t row) {
    return meta == meta_is_a ? sample(*pair.input_a, pair.a, row * columns, looked_at)
                             : sample(*pair.input_b, pair.b, row * columns, looked_at);
  };
  KILTER_ASSIGN(const std::vector<double> second, of(true, 1));
  for (std::uint64_t half = 1; half <= std::min(kHeadRowsMax, rows) / 2; ++half) {
    if (rows % (2 * half) != 0) continue;
    KILTER_ASSIGN(const std::vector<double> other, of(false, half));
    if (sample_cosine(second, other) < kLayoutCosine) continue;
    LayoutGuess guess;
    (meta_is_a ? guess.view_b : guess.view_a) = {Layout::kRotary, 0, rows, columns, 2 * half};
    guess.name = "rotary";
    return guess;
  }
  return std::nullopt;
}

}  // namespace kilter::ops
