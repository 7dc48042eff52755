#include "ops/factors/randomized_svd.h"

#include <algorithm>
#include <cmath>

#include "base/hash.h"
#include "base/try.h"
#include "tensor/kernels/panel_product.h"

namespace kilter::ops {
namespace {

constexpr std::size_t kFirstEnergyRank = 36;     // a guess that costs little if it is too small
constexpr double kSvdRounding = 0x1p-48;         // of squares: below is what binary64 rounds
constexpr std::size_t kErrorTileElements = 512;  // columns of a product at a time

class RandomizedSvd {
 public:
  RandomizedSvd(RowBlocks& blocks, const SvdOptions& options, const RunContext& context)
      : blocks_(blocks), options_(options), context_(context) {
    out_.rows = blocks.matrix().rows();
    out_.columns = blocks.matrix().columns();
    smaller_ = std::min(out_.rows, out_.columns);
  }

  Result<LowRank> run() {
    const std::size_t rank = std::min(options_.rank, smaller_);
    std::size_t guess = options_.energy ? std::min(rank, kFirstEnergyRank) : rank;
    while (true) {
      const std::size_t width = std::min(guess + options_.oversampling, smaller_);
      KILTER_TRY(factor(width));
      out_.rank = options_.energy ? rank_for(*options_.energy, width) : guess;
      const bool enough = !options_.energy || guess >= rank || out_.rank <= guess;
      if (enough) break;
      guess = std::min(2 * guess, rank);
    }
    out_.rank = std::min({out_.rank, rank, out_.values.size()});
    return std::move(out_);
  }

 private:
  /// The fewest directions that carry the share; more than there are if none do.
  std::size_t rank_for(double energy, std::size_t width) const {
    if (out_.squares == 0) return 0;
    double sum = 0;
    for (std::size_t r = 0; r < out_.values.size(); ++r) {
      if (sum >= energy * out_.squares) return r;
      sum += out_.values[r] * out_.values[r];
    }
    // The last bit of the squares is rounding: all directions of a full space carry everything.
    return sum >= energy * out_.squares || width == smaller_ ? out_.values.size() : smaller_ + 1;
  }

  Status factor(std::size_t width) {
    KILTER_ASSIGN(Matrix forward, times_matrix(random_panel(out_.columns, width, options_.seed)));
    Basis basis = orthonormal_basis(forward);
    for (int i = 0; i < options_.iterations; ++i) {
      KILTER_ASSIGN(const Matrix back, times_transposed(basis.panel));
      KILTER_ASSIGN(forward, times_matrix(orthonormal_basis(back).panel));
      basis = orthonormal_basis(forward);
    }
    KILTER_ASSIGN(const Matrix projected, times_transposed(basis.panel));
    settle(basis, projected);
    return ok();
  }

  /// The SVD of matrixᵀ · basis through its small square.
  void settle(const Basis& basis, const Matrix& projected) {
    const Panel right = common_scale(projected);
    const SymmetricEigen eigen = symmetric_eigen(gram(right));
    Matrix turn(right.width, right.width), unit(right.width, right.width);
    out_.values.clear();
    for (std::size_t j = 0; j < right.width; ++j) {
      if (eigen.values[j] <= eigen.values[0] * kSvdRounding || eigen.values[j] <= 0) break;
      const double length = std::sqrt(eigen.values[j]);
      out_.values.push_back(length / scale_);
      for (std::size_t i = 0; i < right.width; ++i) {
        turn.at(i, j) = eigen.vectors.at(i, j);
        unit.at(i, j) = eigen.vectors.at(i, j) / length;
      }
    }
    out_.left = times(basis.panel, turn);
    out_.right = times(right, unit);
    bound_residual(basis);
  }

  /// One power of two for the whole panel, so that its squares stay in range.
  Panel common_scale(const Matrix& matrix) {
    int exponent = 0;
    std::frexp(std::sqrt(out_.squares), &exponent);
    scale_ = out_.squares > 0 ? std::ldexp(1.0, -exponent) : 1;
    Panel out(matrix.rows, matrix.columns);
    for (std::size_t i = 0; i < out.values.size(); ++i)
      out.values[i] = static_cast<float>(matrix.values[i] * scale_);
    return out;
  }

  /// |M - QQᵀM|² = |M|² - 2|QᵀM|² + |QQᵀM|², and QᵀQ is 1 but for the basis's deviation. Rounding
  /// the values to binary32 takes its share too.
  void bound_residual(const Basis& basis) {
    constexpr double kRounding = 0x1p-22;
    double inside = 0;
    for (const double value : out_.values) inside += value * value;
    const double left = std::max(out_.squares - inside, 0.0);
    out_.residual_max = std::sqrt(left + (basis.deviation + kRounding) * out_.squares);
  }

  Result<Matrix> times_matrix(const Panel& panel) {
    Matrix out(out_.rows, panel.width);
    const bool first_pass = !counted_;
    const auto use = [&](std::size_t first, std::size_t count, const float* values) -> Status {
      if (first_pass) KILTER_TRY(count_squares(first, count, values));
      const StridedFloats rows{values, count, out_.columns, out_.columns, 1};
      add_panel_product(rows, panel.values.data(), panel.width, panel.width,
                        out.values.data() + first * panel.width, panel.width);
      return ok();
    };
    KILTER_TRY(blocks_.each(context_, use));
    counted_ = true;
    return out;
  }

  Result<Matrix> times_transposed(const Panel& panel) {
    Matrix out(out_.columns, panel.width);
    const auto use = [&](std::size_t first, std::size_t count, const float* values) -> Status {
      const StridedFloats columns{values, out_.columns, count, 1, out_.columns};
      add_panel_product(columns, panel.values.data() + first * panel.width, panel.width,
                        panel.width, out.values.data(), panel.width);
      return ok();
    };
    KILTER_TRY(blocks_.each(context_, use));
    return out;
  }

  /// Row by row, so that blocks of any size have the same sum.
  Status count_squares(std::size_t first, std::size_t count, const float* values) {
    for (std::size_t i = 0; i < count; ++i) {
      const std::span row(values + i * out_.columns, out_.columns);
      const double squares = sum_of_squares(row);
      if (!std::isfinite(squares)) return not_finite(first + i, row);
      out_.squares += squares;
    }
    return ok();
  }

  Status not_finite(std::size_t row, std::span<const float> values) const {
    const auto bad = std::ranges::find_if(values, [](float v) { return !std::isfinite(v); });
    const auto column = static_cast<std::size_t>(bad - values.begin());
    Error error(ErrorCode::kMalformed, "the difference is NaN or infinite at row " +
                                           std::to_string(row) + ", column " +
                                           std::to_string(column));
    error.tensor = blocks_.matrix().name();
    error.hint = "`kilter diff` shows how many such numbers there are; leave the tensor out";
    return fail(std::move(error));
  }

  RowBlocks& blocks_;
  const SvdOptions& options_;
  const RunContext& context_;
  LowRank out_;
  std::size_t smaller_ = 0;
  double scale_ = 1;
  bool counted_ = false;
};

}  // namespace

double LowRank::energy(std::size_t count) const {
  double sum = 0;
  for (std::size_t i = 0; i < std::min(count, values.size()); ++i) sum += values[i] * values[i];
  return squares > 0 ? std::min(sum / squares, 1.0) : 1;
}

std::uint64_t svd_seed(std::string_view tensor, std::uint64_t seed) {
  const Digest256 digest = blake3(std::as_bytes(std::span(tensor)));
  std::uint64_t out = seed * 0x9E3779B97F4A7C15U;
  for (unsigned i = 0; i < 8; ++i) out ^= std::to_integer<std::uint64_t>(digest[i]) << (8 * i);
  return out;
}

Result<LowRank> randomized_svd(RowBlocks& matrix, const SvdOptions& options,
                               const RunContext& context) {
  return RandomizedSvd(matrix, options, context).run();
}

Result<double> product_error(RowBlocks& matrix, const Panel& up, const Panel& down,
                             const RunContext& context) {
  const std::size_t columns = matrix.matrix().columns();
  std::vector<double> product;
  double squares = 0;
  const auto use = [&](std::size_t first, std::size_t count, const float* values) -> Status {
    std::vector<double> rows(count);  // a sum for each row: the same for blocks of any size
    for (std::size_t at = 0; at < columns; at += kErrorTileElements) {
      const std::size_t width = std::min(kErrorTileElements, down.width - at);
      const std::size_t some = std::min(width, columns - at);
      product.assign(count * width, 0);
      const StridedFloats left{up.values.data() + first * up.width, count, up.width, up.width, 1};
      add_panel_product(left, down.values.data() + at, down.width, width, product.data(), width);
      for (std::size_t i = 0; i < count; ++i)
        rows[i] += sum_of_squared_errors(std::span(product).subspan(i * width, some),
                                         values + i * columns + at);
    }
    for (const double row : rows) squares += row;
    return ok();
  };
  KILTER_TRY(matrix.each(context, use));
  return std::sqrt(squares);
}

}  // namespace kilter::ops
