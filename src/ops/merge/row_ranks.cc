#include "ops/merge/row_ranks.h"

#include <algorithm>
#include <array>

#include "base/raw_bytes.h"
#include "base/try.h"
#include "ops/merge/kernels/selection_lanes.h"
#include "ops/merge/thinning.h"
#include "tensor/kernels/float_values.h"

namespace kilter::ops {
namespace {

constexpr unsigned kRankDigitBits = 11;
constexpr std::size_t kDigits = std::size_t{1} << kRankDigitBits;

/// Indices by key, smallest first; of equal keys the higher index first.
std::vector<std::uint32_t> order_of(std::span<const std::uint32_t> keys) {
  std::vector<std::uint32_t> order(keys.size()), next(keys.size());
  for (std::size_t i = 0; i < order.size(); ++i)
    order[i] = static_cast<std::uint32_t>(keys.size() - 1 - i);
  for (unsigned shift = 0; shift < 32; shift += kRankDigitBits) {
    std::array<std::uint32_t, kDigits> starts{};
    for (const std::uint32_t key : keys) ++starts[key >> shift & (kDigits - 1)];
    std::uint32_t at = 0;
    for (std::uint32_t& start : starts) at += std::exchange(start, at);
    for (const std::uint32_t i : order) next[starts[keys[i] >> shift & (kDigits - 1)]++] = i;
    order.swap(next);
  }
  return order;
}

std::size_t rank_width(DType dtype) { return dtype_row(dtype).bits / 8U; }

}  // namespace

std::uint64_t row_elements(const TensorMerge& merge) {
  return merge.shape.empty() ? 1 : static_cast<std::uint64_t>(merge.shape.back());
}

void rank_row(std::span<const std::uint32_t> keys, const RankedChance& chance,
              std::span<std::uint32_t> limits) {
  const std::vector<std::uint32_t> order = order_of(keys);
  const double steps = order.size() > 1 ? static_cast<double>(order.size() - 1) : 1.0;
  for (std::size_t rank = 0; rank < order.size(); ++rank) {
    const double share = static_cast<double>(rank) / steps;
    limits[order[rank]] = limit_of_chance(chance.low + share * (chance.high - chance.low));
  }
}

RowRanks::RowRanks(const TensorMerge& merge, std::vector<std::optional<RankedChance>> chances)
    : base_(*merge.base),
      terms_(merge.terms),
      row_(row_elements(merge)),
      chances_(std::move(chances)) {}

Result<TileBounds> RowRanks::of_tile(const KernelTile& tile, std::uint64_t first,
                                     std::size_t count) const {
  TileBounds out(terms_.size());
  for (std::size_t i = 0; i < terms_.size(); ++i) {
    out[i].resize(count);
    if (chances_[i]) KILTER_TRY(rank(i, tile, first, count, out[i]));
  }
  return out;
}

Status RowRanks::rank(std::size_t term, const KernelTile& tile, std::uint64_t first,
                      std::size_t count, std::vector<std::uint32_t>& out) const {
  const bool wide = base_.dtype == DType::kF64 || terms_[term].dtype == DType::kF64;
  const auto length = static_cast<std::size_t>(row_);
  std::vector<std::uint32_t> keys(length), limits(length);
  for (std::uint64_t row = first - first % row_; row < first + count; row += row_) {
    KILTER_ASSIGN(const std::vector<double> base,
                  widened(base_, tile.inputs[0], first, count, row));
    KILTER_ASSIGN(const std::vector<double> x,
                  widened(terms_[term], tile.inputs[term + 1], first, count, row));
    delta_keys(x.data(), base.data(), length, wide, keys.data());
    rank_row(keys, *chances_[term], limits);
    const std::uint64_t from = std::max(row, first), to = std::min(row + row_, first + count);
    std::copy(limits.begin() + static_cast<std::ptrdiff_t>(from - row),
              limits.begin() + static_cast<std::ptrdiff_t>(to - row),
              out.begin() + static_cast<std::ptrdiff_t>(from - first));
  }
  return ok();
}

Result<std::vector<double>> RowRanks::widened(const MergeTerm& input, Bytes in_tile,
                                              std::uint64_t first, std::size_t count,
                                              std::uint64_t row) const {
  const auto length = static_cast<std::size_t>(row_);
  const std::size_t width = rank_width(input.dtype);
  std::vector<double> out(length);
  if (row >= first && row + row_ <= first + count) {
    widen_floats(input.dtype, in_tile.data() + (row - first) * width, length, out.data());
    return out;
  }
  RawBytes bytes(length * width);
  KILTER_TRY(input.input.source->read_tensor(input.input.index,
                                             input.input.offset_bytes + row * width, bytes));
  widen_floats(input.dtype, bytes.data(), length, out.data());
  return out;
}

}  // namespace kilter::ops
