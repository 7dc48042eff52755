// A tensor's elements in the order in which another one has them.
#pragma once

#include <cstdint>
#include <span>

#include "base/raw_bytes.h"
#include "ops/weights/weights_input.h"

namespace kilter::ops {

enum class Layout : std::uint8_t {
  kPlain,       ///< as they lie, from `first` on
  kTransposed,  ///< a matrix [columns, rows] read as [rows, columns]
  kRotary,      ///< rows of each head of `head` rows: the even ones come from its first half, the
                ///< odd ones from its second (Meta's order of what transformers keeps in halves)
};

struct ElementView {
  Layout layout = Layout::kPlain;
  std::uint64_t first = 0;              ///< element
  std::uint64_t rows = 0, columns = 0;  ///< as read, of the others
  std::uint64_t head = 0;
};

/// Reads runs of a tensor through a view. One for each thread: it keeps a band of the tensor that
/// it put in order.
class ElementReader {
 public:
  ElementReader(const WeightsInput& input, std::size_t tensor, const ElementView& view)
      : input_(&input), tensor_(tensor), view_(view) {}

  /// Elements [first, first + out.size() / width) of the view, of dtypes of whole bytes.
  /// Errors: as the source reports.
  Status read(std::uint64_t first, std::size_t width_bytes, std::span<std::byte> out);

 private:
  Status read_plain(std::uint64_t first, std::size_t width_bytes, std::span<std::byte> out) const;
  Status fill_band(std::uint64_t row, std::size_t width_bytes);
  Status fill_transposed(std::size_t width_bytes);
  Status fill_rotary(std::size_t width_bytes);

  const WeightsInput* input_;
  std::size_t tensor_;
  ElementView view_;
  std::uint64_t band_first_ = 0, band_rows_ = 0;  // in rows of the view
  RawBytes band_;
};

}  // namespace kilter::ops
