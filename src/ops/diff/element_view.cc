#include "ops/diff/element_view.h"

#include <algorithm>
#include <cstring>

#include "base/try.h"
#include "flow/source.h"

namespace kilter::ops {
namespace {

constexpr std::uint64_t kBandElements = 1U << 20;

}  // namespace

Status ElementReader::read(std::uint64_t first, std::size_t width_bytes, std::span<std::byte> out) {
  if (view_.layout == Layout::kPlain) return read_plain(view_.first + first, width_bytes, out);
  while (!out.empty()) {
    const std::uint64_t row = first / view_.columns;
    if (row < band_first_ || row >= band_first_ + band_rows_)
      KILTER_TRY(fill_band(row, width_bytes));
    const std::uint64_t at = first - band_first_ * view_.columns;
    const std::uint64_t left = band_rows_ * view_.columns - at;
    const auto bytes =
        static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), left * width_bytes));
    std::memcpy(out.data(), band_.data() + at * width_bytes, bytes);
    out = out.subspan(bytes);
    first += bytes / width_bytes;
  }
  return ok();
}

Status ElementReader::read_plain(std::uint64_t first, std::size_t width_bytes,
                                 std::span<std::byte> out) const {
  return input_->checkpoint.source()->read_tensor(tensor_, first * width_bytes, out);
}

Status ElementReader::fill_band(std::uint64_t row, std::size_t width_bytes) {
  const std::uint64_t rows = std::max<std::uint64_t>(1, kBandElements / view_.columns);
  band_first_ = row / rows * rows;
  band_rows_ = std::min(rows, view_.rows - band_first_);
  band_.resize(static_cast<std::size_t>(band_rows_ * view_.columns * width_bytes));
  return view_.layout == Layout::kTransposed ? fill_transposed(width_bytes)
                                             : fill_rotary(width_bytes);
}

/// Each of the tensor's rows is a column of the view: a run of it is read and spread.
Status ElementReader::fill_transposed(std::size_t width_bytes) {
  RawBytes run(static_cast<std::size_t>(band_rows_ * width_bytes));
  for (std::uint64_t column = 0; column < view_.columns; ++column) {
    KILTER_TRY(read_plain(column * view_.rows + band_first_, width_bytes, run));
    for (std::uint64_t row = 0; row < band_rows_; ++row)
      std::memcpy(band_.data() + (row * view_.columns + column) * width_bytes,
                  run.data() + row * width_bytes, width_bytes);
  }
  return ok();
}

Status ElementReader::fill_rotary(std::size_t width_bytes) {
  const auto row_bytes = static_cast<std::size_t>(view_.columns * width_bytes);
  for (std::uint64_t i = 0; i < band_rows_; ++i) {
    const std::uint64_t row = band_first_ + i, in_head = row % view_.head;
    const std::uint64_t from = row - in_head + in_head % 2 * (view_.head / 2) + in_head / 2;
    KILTER_TRY(read_plain(from * view_.columns, width_bytes,
                          std::span(band_).subspan(i * row_bytes, row_bytes)));
  }
  return ok();
}

}  // namespace kilter::ops
