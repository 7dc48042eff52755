#include "ops/stats/channel_squares.h"

#include <algorithm>
#include <cmath>

#include "tensor/kernels/value_moments.h"

namespace kilter::ops {
namespace {

constexpr std::size_t kOutliersListed = 8;

ChannelStats channel_stats(const std::vector<double>& squares, double outlier_deviations) {
  ChannelStats out;
  out.count = squares.size();
  std::vector<double> norms(squares.size());
  std::ranges::transform(squares, norms.begin(), [](double x) { return std::sqrt(x); });
  ValueMoments sums;
  for (std::size_t at = 0; at < norms.size(); at += 1024)
    sums += value_moments(
        std::span(norms).subspan(at, std::min<std::size_t>(1024, norms.size() - at)), 0);
  out.dead = sums.zeros;
  out.mean = sums.mean;
  out.deviation = std::sqrt(sums.m2 / static_cast<double>(std::max<std::uint64_t>(1, sums.count)));
  out.largest = sums.max;
  const double limit = out.mean + outlier_deviations * out.deviation;
  for (std::size_t i = 0; i < norms.size(); ++i)
    if (norms[i] > limit && out.deviation > 0) out.outliers.emplace_back(i, norms[i]);
  out.outlier_count = out.outliers.size();
  std::ranges::stable_sort(out.outliers, [](auto& a, auto& b) { return a.second > b.second; });
  if (out.outliers.size() > kOutliersListed) out.outliers.resize(kOutliersListed);
  return out;
}

}  // namespace

ChannelSquares::ChannelSquares(const ChannelShape& shape, std::uint64_t first, std::uint64_t count)
    : shape_(shape), at_(first) {
  const std::uint64_t row_elements = shape.columns * shape.inner;
  if (row_elements == 0 || count == 0) return;
  first_row_ = first / row_elements;
  if (shape.rows <= kChannelsMax) rows_.resize((first + count - 1) / row_elements - first_row_ + 1);
  if (shape.columns <= kChannelsMax) columns_.resize(shape.columns);
}

void ChannelSquares::add(std::span<const double> values) {
  const std::uint64_t row_elements = shape_.columns * shape_.inner;
  if (row_elements == 0) return;
  while (!values.empty()) {
    const std::uint64_t in_row = at_ % row_elements;
    const auto some =
        static_cast<std::size_t>(std::min<std::uint64_t>(values.size(), row_elements - in_row));
    if (!rows_.empty()) rows_[at_ / row_elements - first_row_] += sum_squares(values.first(some));
    if (!columns_.empty()) add_within_row(values.first(some), in_row);
    values = values.subspan(some);
    at_ += some;
  }
}

void ChannelSquares::add_within_row(std::span<const double> values, std::uint64_t in_row) {
  if (shape_.inner == 1) return add_squares(values, columns_.data() + in_row);
  while (!values.empty()) {
    const std::uint64_t left = shape_.inner - in_row % shape_.inner;
    const auto some = static_cast<std::size_t>(std::min<std::uint64_t>(values.size(), left));
    columns_[in_row / shape_.inner] += sum_squares(values.first(some));
    values = values.subspan(some);
    in_row += some;
  }
}

void ChannelSquares::add(const ChannelSquares& part) {
  for (std::size_t i = 0; i < part.rows_.size(); ++i)
    rows_[part.first_row_ - first_row_ + i] += part.rows_[i];
  for (std::size_t i = 0; i < part.columns_.size(); ++i) columns_[i] += part.columns_[i];
}

std::optional<ChannelStats> ChannelSquares::rows(double outlier_deviations) const {
  if (rows_.empty()) return std::nullopt;
  return channel_stats(rows_, outlier_deviations);
}

std::optional<ChannelStats> ChannelSquares::columns(double outlier_deviations) const {
  if (columns_.empty()) return std::nullopt;
  return channel_stats(columns_, outlier_deviations);
}

}  // namespace kilter::ops
